"""The facts that identify this machine and its user, as far as they exist: a container may lack some."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from gpuprobe.sharing import find, secrets
from gpuprobe.sharing.words import identifies

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.sharing.facts import Gathering

EVERYWHERE = ("/tmp", "/var/tmp")  # noqa: S108
LOOPBACK = ("127.", "::1", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "0.0.0.0")  # noqa: S104
SHORTEST_SECRET = 8


def this_machine(into: Gathering) -> None:
    """Collect this machine's homes, folders, names and addresses, and the secrets in its environment variables."""
    environ = os.environ
    # `expanduser` returns `~` where the user has no home.
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
        # In a container a user may have no name.
        return
    into.users.add(entry.pw_name)
    into.homes.update(_folders(entry.pw_dir))
    full_name = entry.pw_gecos.partition(",")[0]
    if identifies(full_name):
        into.users.add(full_name)


def _current() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        # The current folder was deleted.
        return ""


def _folders(*paths: str) -> set[str]:
    """Return folders as named and with links resolved, without the root."""
    absolute = [path.rstrip("/") for path in paths if path.startswith("/")]
    return {path for each in absolute if each for path in (each, os.path.realpath(each)) if path.strip("/")}


def _addresses(into: Gathering) -> None:
    with suppress(OSError, psutil.Error):
        for addresses in psutil.net_if_addrs().values():
            into.addresses.update(interface.address.partition("%")[0] for interface in addresses if interface.address)
    into.addresses -= {address for address in into.addresses if address.startswith(LOOPBACK)}


def _secrets(environ: Mapping[str, str]) -> set[str]:
    return {
        value
        for name, value in environ.items()
        if len(value) >= SHORTEST_SECRET and secrets.is_secret_key(name) and not value.startswith(("/", "~"))
    }
