"""Finds identifying texts by their shape (home folders, private addresses, user@host), beside the known facts."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gpuprobe.sharing import secrets
from gpuprobe.sharing.facts import PCI_BUS_ID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.sharing.facts import Gathering

# A home may lie deeper, as /nfs/home/NAME on a cluster.
HOME = re.compile(r"/(?:home|[Uu]sers)/(\w[^\s/\"'<>:;,|()\[\]{}=&%\\]*)")
USER_AT_HOST = re.compile(r"([\w.-]{1,32})@([\w.-]{1,253})")
WINDOWS_HOME = re.compile(r"[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)([^\s/\\\"'<>:;,|]+)")
TEMPORARY_FOLDER = re.compile(r"/var/folders/\w\w/\w+/\w")
PYTHON = re.compile(r"/(?:lib|bin)/python\d?")
CARD_UUID = re.compile(r"(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
# Addresses of private networks anywhere; any address only before a port or after a scheme or an @.
IP_ADDRESS = re.compile(
    rf"(?<![\w.])(?<!==)(?:10\.{_BYTE}|192\.168|172\.(?:1[6-9]|2\d|3[01])|169\.254)(?:\.{_BYTE}){{2}}(?!\w|\.\d)"
    rf"|(?<![\w.])(?:{_BYTE}\.){{3}}{_BYTE}(?=:\d{{2,5}}\b)|(?:(?<=://)|(?<=@))(?:{_BYTE}\.){{3}}{_BYTE}(?!\w|\.\d)"
)
MAC_ADDRESS = re.compile(r"(?<![0-9a-f:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![0-9a-f:])", re.IGNORECASE)
LINK_LOCAL = re.compile(r"(?<![\w:])fe80:(?::?[0-9a-f]{1,4}){1,7}", re.IGNORECASE)
# Every text that a pattern above matches contains one of these, which are cheap to search for.
HINTS = (
    "/home/",
    "/users/",
    r"users\\",
    r"\w@\w",
    "/var/folders/",
    "/lib/python",
    "/bin/python",
    "(?:gpu|mig)-[0-9a-f]{4}",
    r"\d\.\d{1,3}\.\d{1,3}\.\d",
    "[0-9a-f]{2}:[0-9a-f]{2}[:.]",
    "fe80:",
    *secrets.HINTS,
)
# Paths within the folder of a recording.
RECORDING_FOLDERS = ("/runs/", "/trainings/")
# The characters before the start of a path, and how far back a start is searched for.
_BEFORE_A_PATH = " \t\n\"'<>=,;:|([{"
_LONGEST_PATH = 4096
# Folders that every machine has.
SYSTEM_FOLDERS = frozenset({"/usr/local", "/usr/bin", "/usr/lib", "/usr/share", "/opt/conda", "/var/tmp", "/dev/shm"})  # noqa: S108
LOOPBACK_STARTS = ("127.", "0.")


def find_facts(text: str, gathering: Gathering) -> None:
    """Collect the facts in one text."""
    for match in HOME.finditer(text):
        homes = _paths_ending_at(text, match.end())
        gathering.homes.update(home.rstrip(".") for home in homes)
        gathering.users.update([match[1].rstrip(".")] if homes else [])
    for match in WINDOWS_HOME.finditer(text):
        gathering.homes.add(match[0])
        gathering.users.add(match[1])
    gathering.accounts.update(USER_AT_HOST.findall(text))
    gathering.temporary.update(TEMPORARY_FOLDER.findall(text))
    for match in PYTHON.finditer(text):
        gathering.pythons.update(path for path in _paths_ending_at(text, match.start()) if is_private(path))
    for pattern in (CARD_UUID, PCI_BUS_ID):
        for match in pattern.finditer(text):
            gathering.card([match[0]])
    for pattern in (IP_ADDRESS, MAC_ADDRESS, LINK_LOCAL):
        gathering.addresses.update(
            address for address in pattern.findall(text) if not address.startswith(LOOPBACK_STARTS)
        )


def find_secrets(text: str, gathering: Gathering) -> None:
    """Collect the secrets in a text, so that each is replaced in all other texts too."""
    gathering.secrets.update(text[start:end] for start, end in secrets.secret_spans(text))


def find_former_folders(text: str, marks: Iterable[str], gathering: Gathering) -> None:
    """Collect the folders that once held the study: the paths before `/runs/RUN`, or before the study's name.

    For a watch, these are the paths before `/trainings/`.
    """
    for mark in marks:
        mark_at = text.find(mark)
        while mark_at >= 0:
            path_end = mark_at if mark.startswith(RECORDING_FOLDERS) else mark_at + len(mark)
            next_character = text[mark_at + len(mark) : mark_at + len(mark) + 1]
            if mark.endswith("/") or not next_character or not (next_character.isalnum() or next_character in "-_"):
                for path in _paths_ending_at(text, path_end):
                    add_study_folder(path, gathering)
            mark_at = text.find(mark, mark_at + 1)


def add_study_folder(path: str, gathering: Gathering) -> None:
    """Add a folder that is or was the study's, and its parents."""
    gathering.studies.add(path)
    parent = PurePosixPath(path).parent
    for parent_folder in (parent, parent.parent) if parent.name == "reports" else (parent,):
        add_user_folder(str(parent_folder), gathering)


def add_user_folder(path: str, gathering: Gathering) -> None:
    """Add a folder of the user, unless every machine has a folder of that name."""
    if is_private(path):
        gathering.folders.add(path)


def is_private(path: str) -> bool:
    """Return whether a folder is private; the root and the folders directly under it are the same on every machine."""
    return path.startswith("/") and len(PurePosixPath(path).parts) > 2 and path not in SYSTEM_FOLDERS


def _paths_ending_at(text: str, path_end: int) -> list[str]:
    """Return the absolute paths that may end at `path_end`: one without blanks, and one with blanks from the start."""
    search_from = max(0, path_end - _LONGEST_PATH)
    text_before = text[search_from:path_end]
    path_without_blanks = text_before[max(text_before.rfind(mark) for mark in _BEFORE_A_PATH) + 1 :]
    paths_ending_here = (
        ["/" + path_without_blanks.lstrip("/")]
        if path_without_blanks.startswith("/") and path_without_blanks.strip("/")
        else []
    )
    if (
        search_from == 0
        and text_before.startswith("/")
        and text_before != path_without_blanks
        and not any(mark in text_before for mark in "\n\"'<>=,;:|")
    ):
        paths_ending_here.append(text_before)
    return paths_ending_here
