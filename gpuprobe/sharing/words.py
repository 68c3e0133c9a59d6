"""Which names identify somebody. An ordinary word does not, and without it a report could not be read."""

from __future__ import annotations

import functools
import re
from pathlib import Path

# Names of accounts and machines that are the same everywhere.
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


def identifies(name: str) -> bool:
    """Return whether a name identifies somebody, so that it is replaced in any text."""
    low = name.lower()
    return len(name) >= SHORTEST and not name.isdigit() and low not in EVERYWHERE and low not in _own()


@functools.cache
def _own() -> frozenset[str]:
    """Return every word in gpuprobe's source, which it may print itself."""
    package = Path(__file__).parent.parent
    files = [path for kind in ("*.py", "*.jinja", "*.csv") for path in package.rglob(kind)]
    return frozenset(word for path in files for word in WORD.findall(path.read_text(errors="replace").lower()))
