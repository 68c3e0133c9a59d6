"""Which names identify somebody. An ordinary word does not, and a report could not be read without it."""

from __future__ import annotations

import functools
import re
from pathlib import Path

# Accounts and machines that are called so everywhere.
EVERYWHERE = frozenset(
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
SHORTEST = 3
WORD = re.compile(r"[^\W_]+")


def telling(name: str) -> bool:
    """Say whether a name is looked for in any text, and not just where names stand."""
    low = name.lower()
    return len(name) >= SHORTEST and not name.isdigit() and low not in EVERYWHERE and low not in _own()


@functools.cache
def _own() -> frozenset[str]:
    """Every word that gpuprobe itself may write: those of its source."""
    package = Path(__file__).parent.parent
    files = [path for kind in ("*.py", "*.jinja", "*.csv") for path in package.rglob(kind)]
    return frozenset(word for path in files for word in WORD.findall(path.read_text(errors="replace").lower()))
