"""The facts that identify this machine and its user. A container may lack some: each has an answer there too."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from gpuprobe.sharing import find, secrets
from gpuprobe.sharing.words import telling

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.sharing.facts import Gathering

EVERYWHERE = ("/tmp", "/var/tmp")  # noqa: S108
LOOPBACK = ("127.", "::1", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "0.0.0.0")  # noqa: S104
SHORTEST_SECRET = 8


def this_machine(into: Gathering) -> None:
    """Note the home, the folders, the names and the addresses of this machine, and the secrets of its environment."""
    environ = os.environ
    # It leaves the ~ where a user has no home.
    into.homes.update(_folders(os.path.expanduser("~"), environ.get("HOME", "")))  # noqa: PTH111
    into.users.update(filter(None, map(environ.get, ("USER", "LOGNAME", "USERNAME", "SUDO_USER"))))
    _account(into)
    for place in _folders(_current(), environ.get("PWD", "")):
        find.folder(place, into)
    with suppress(OSError):
        into.temporary.update(_folders(tempfile.gettempdir()))
    into.temporary.update(EVERYWHERE, _folders(*(environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP"))))
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, environ.get("VIRTUAL_ENV", ""))
    into.pythons.update(_folders(*prefixes, environ.get("CONDA_PREFIX", "")))
    for host in filter(None, (platform.node(), environ.get("HOSTNAME", ""))):
        into.hosts.update({host, host.partition(".")[0]})
    _addresses(into)
    into.secrets.update(_secrets(environ))


def _account(into: Gathering) -> None:
    try:
        import pwd

        entry = pwd.getpwuid(os.getuid())
    except (ImportError, KeyError):
        # In a container a user may be a bare number.
        return
    into.users.add(entry.pw_name)
    into.homes.update(_folders(entry.pw_dir))
    full_name = entry.pw_gecos.partition(",")[0]
    if telling(full_name):
        into.users.add(full_name)


def _current() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        # It was deleted.
        return ""


def _folders(*paths: str) -> set[str]:
    """Return folders as they are named and as they lie on the disk; the root is nobody's."""
    absolute = [path.rstrip("/") for path in paths if path.startswith("/")]
    return {path for each in absolute if each for path in (each, os.path.realpath(each)) if path.strip("/")}


def _addresses(into: Gathering) -> None:
    with suppress(OSError, psutil.Error):
        for addresses in psutil.net_if_addrs().values():
            into.addresses.update(one.address.partition("%")[0] for one in addresses if one.address)
    into.addresses -= {address for address in into.addresses if address.startswith(LOOPBACK)}


def _secrets(environ: Mapping[str, str]) -> set[str]:
    return {
        value
        for name, value in environ.items()
        if len(value) >= SHORTEST_SECRET and secrets.is_secret_key(name) and not value.startswith(("/", "~"))
    }
