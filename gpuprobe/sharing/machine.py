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

TEMPORARY_EVERYWHERE = ("/tmp", "/var/tmp")  # noqa: S108
LOOPBACK = ("127.", "::1", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "0.0.0.0")  # noqa: S104
SHORTEST_SECRET = 8


def this_machine(gathering: Gathering) -> None:
    """Collect this machine's homes, folders, names and addresses, and the secrets in its environment variables."""
    environment = os.environ
    # `expanduser` returns `~` where the user has no home.
    gathering.homes.update(_folders(os.path.expanduser("~"), environment.get("HOME", "")))  # noqa: PTH111
    gathering.users.update(filter(None, map(environment.get, ("USER", "LOGNAME", "USERNAME", "SUDO_USER"))))
    _gather_account(gathering)
    for current_folder in _folders(_current_folder(), environment.get("PWD", "")):
        find.add_user_folder(current_folder, gathering)
    with suppress(OSError):
        gathering.temporary.update(_folders(tempfile.gettempdir()))
    gathering.temporary.update(
        TEMPORARY_EVERYWHERE, _folders(*(environment.get(variable, "") for variable in ("TMPDIR", "TEMP", "TMP")))
    )
    prefixes = (sys.prefix, sys.base_prefix, sys.exec_prefix, environment.get("VIRTUAL_ENV", ""))
    gathering.pythons.update(_folders(*prefixes, environment.get("CONDA_PREFIX", "")))
    for host in filter(None, (platform.node(), environment.get("HOSTNAME", ""))):
        gathering.hosts.update({host, host.partition(".")[0]})
    _gather_addresses(gathering)
    gathering.secrets.update(_secrets_in_environment(environment))


def _gather_account(gathering: Gathering) -> None:
    try:
        import pwd

        account_entry = pwd.getpwuid(os.getuid())
    except (ImportError, KeyError):
        # In a container a user may have no name.
        return
    gathering.users.add(account_entry.pw_name)
    gathering.homes.update(_folders(account_entry.pw_dir))
    full_name = account_entry.pw_gecos.partition(",")[0]
    if identifies(full_name):
        gathering.users.add(full_name)


def _current_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:
        # The current folder was deleted.
        return ""


def _folders(*paths: str) -> set[str]:
    """Return folders as named and with links resolved, without the root."""
    absolute_folders = [path.rstrip("/") for path in paths if path.startswith("/")]
    return {
        path for folder in absolute_folders if folder for path in (folder, os.path.realpath(folder)) if path.strip("/")
    }


def _gather_addresses(gathering: Gathering) -> None:
    with suppress(OSError, psutil.Error):
        for addresses in psutil.net_if_addrs().values():
            gathering.addresses.update(
                interface.address.partition("%")[0] for interface in addresses if interface.address
            )
    gathering.addresses -= {address for address in gathering.addresses if address.startswith(LOOPBACK)}


def _secrets_in_environment(environment: Mapping[str, str]) -> set[str]:
    return {
        variable_value
        for variable, variable_value in environment.items()
        if len(variable_value) >= SHORTEST_SECRET
        and secrets.is_secret_key(variable)
        and not variable_value.startswith(("/", "~"))
    }
