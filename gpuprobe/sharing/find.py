"""Finds identifying texts by their shape (home folders, private addresses, user@host), beside the known facts."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from gpuprobe.sharing import secrets
from gpuprobe.sharing.facts import PCI

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gpuprobe.sharing.facts import Gathering

# On clusters homes lie deeper, for example /nfs/home/NAME.
HOME = re.compile(r"/(?:home|[Uu]sers)/(\w[^\s/\"'<>:;,|()\[\]{}=&%\\]*)")
ACCOUNT = re.compile(r"([\w.-]{1,32})@([\w.-]{1,253})")
WINDOWS_HOME = re.compile(r"[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)([^\s/\\\"'<>:;,|]+)")
TEMPORARY = re.compile(r"/var/folders/\w\w/\w+/\w")
PYTHON = re.compile(r"/(?:lib|bin)/python\d?")
UUID = re.compile(r"(?:GPU|MIG)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_BYTE = r"(?:25[0-5]|2[0-4]\d|1?\d?\d)"
# Addresses of private networks anywhere; any address only before a port or after a scheme or an @.
ADDRESS = re.compile(
    rf"(?<![\w.])(?<!==)(?:10\.{_BYTE}|192\.168|172\.(?:1[6-9]|2\d|3[01])|169\.254)(?:\.{_BYTE}){{2}}(?!\w|\.\d)"
    rf"|(?<![\w.])(?:{_BYTE}\.){{3}}{_BYTE}(?=:\d{{2,5}}\b)|(?:(?<=://)|(?<=@))(?:{_BYTE}\.){{3}}{_BYTE}(?!\w|\.\d)"
)
MAC = re.compile(r"(?<![0-9a-f:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![0-9a-f:])", re.IGNORECASE)
LINK_LOCAL = re.compile(r"(?<![\w:])fe80:(?::?[0-9a-f]{1,4}){1,7}", re.IGNORECASE)
# One of these is in every text that a pattern above matches; they are cheap to search for.
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
WITHIN = ("/runs/", "/trainings/")
# The characters before the start of a path, and how far back a start is searched for.
_BEFORE = " \t\n\"'<>=,;:|([{"
_LONGEST_PATH = 4096
# Folders that every machine has.
SYSTEM = frozenset({"/usr/local", "/usr/bin", "/usr/lib", "/usr/share", "/opt/conda", "/var/tmp", "/dev/shm"})  # noqa: S108
LOCAL = ("127.", "0.")


def find(text: str, into: Gathering) -> None:
    """Collect the facts in one text."""
    for match in HOME.finditer(text):
        homes = _ending(text, match.end())
        into.homes.update(home.rstrip(".") for home in homes)
        into.users.update([match[1].rstrip(".")] if homes else [])
    for match in WINDOWS_HOME.finditer(text):
        into.homes.add(match[0])
        into.users.add(match[1])
    into.accounts.update(ACCOUNT.findall(text))
    into.temporary.update(TEMPORARY.findall(text))
    for match in PYTHON.finditer(text):
        into.pythons.update(path for path in _ending(text, match.start()) if is_private(path))
    for pattern in (UUID, PCI):
        for match in pattern.finditer(text):
            into.card([match[0]])
    for pattern in (ADDRESS, MAC, LINK_LOCAL):
        into.addresses.update(address for address in pattern.findall(text) if not address.startswith(LOCAL))


def find_secrets(text: str, into: Gathering) -> None:
    """Collect the secrets in a text, so that each is replaced in all other texts too."""
    into.secrets.update(text[start:end] for start, end in secrets.spans(text))


def former(text: str, marks: Iterable[str], into: Gathering) -> None:
    """Collect the folders in which a study once lay: the paths before `/runs/RUN`, or before the study's name.

    For a watch, the paths before `/trainings/`.
    """
    for mark in marks:
        at = text.find(mark)
        while at >= 0:
            end = at if mark.startswith(WITHIN) else at + len(mark)
            after = text[at + len(mark) : at + len(mark) + 1]
            if mark.endswith("/") or not after or not (after.isalnum() or after in "-_"):
                for path in _ending(text, end):
                    study(path, into)
            at = text.find(mark, at + 1)


def study(path: str, into: Gathering) -> None:
    """Add a folder in which the study lay, and its parents."""
    into.studies.add(path)
    parent = PurePosixPath(path).parent
    for above in (parent, parent.parent) if parent.name == "reports" else (parent,):
        folder(str(above), into)


def folder(path: str, into: Gathering) -> None:
    """Add a folder of the user's, unless every machine has one of that name."""
    if is_private(path):
        into.folders.add(path)


def is_private(path: str) -> bool:
    """Return whether a folder is private: the root, and folders directly under it, are the same everywhere."""
    return path.startswith("/") and len(PurePosixPath(path).parts) > 2 and path not in SYSTEM


def _ending(text: str, end: int) -> list[str]:
    """Return the absolute paths that may end here: one without blanks, and with blanks from the text's start."""
    start = max(0, end - _LONGEST_PATH)
    piece = text[start:end]
    short = piece[max(piece.rfind(mark) for mark in _BEFORE) + 1 :]
    endings = ["/" + short.lstrip("/")] if short.startswith("/") and short.strip("/") else []
    if start == 0 and piece.startswith("/") and piece != short and not any(mark in piece for mark in "\n\"'<>=,;:|"):
        endings.append(piece)
    return endings
