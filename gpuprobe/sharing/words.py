"""Tells which names identify somebody. An ordinary word does not, and a report without it would be unreadable."""

from __future__ import annotations

import functools
import re
from pathlib import Path

# Names of accounts and machines that are the same everywhere.
COMMON_NAMES = frozenset(
    [
        "root",
        "admin",
        "administrator",
        "user",
        "users",
        "guest",
        "nobody",
        "ubuntu",
        "debian",
        "centos",
        "fedora",
        "ec2-user",
        "azureuser",
        "jovyan",
        "vscode",
        "colab",
        "runner",
        "jenkins",
        "gitlab",
        "docker",
        "container",
        "localhost",
        "localdomain",
        "local",
        "host",
        "hostname",
        "home",
        "server",
        "desktop",
        "laptop",
        "machine",
        "worker",
        "node",
        "master",
        "login",
        "gpu",
        "cpu",
        "vm",
        "dev",
        "test",
        "build",
        "data",
        "train",
    ]
)
SHORTEST_NAME = 3
WORD = re.compile(r"[^\W_]+")


def identifies(name: str) -> bool:
    """Return whether a name identifies somebody, so that it is replaced in any text."""
    lowered = name.lower()
    return (
        len(name) >= SHORTEST_NAME
        and not name.isdigit()
        and lowered not in COMMON_NAMES
        and lowered not in _words_of_gpuprobe()
    )


@functools.cache
def _words_of_gpuprobe() -> frozenset[str]:
    """Return every word in gpuprobe's source, which it may print itself."""
    package = Path(__file__).parent.parent
    files = [path for kind in ("*.py", "*.jinja", "*.csv") for path in package.rglob(kind)]
    return frozenset(word for path in files for word in WORD.findall(path.read_text(errors="replace").lower()))
