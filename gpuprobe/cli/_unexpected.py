"""Explains an unexpected error: the machine lacks memory, disk space or a package, or gpuprobe has a bug."""

from __future__ import annotations

import errno

from gpuprobe.errors import UNEXPECTED, MissingError, OutputError, in_short

# Names of packages in pip, where they differ from those in Python.
PIP_NAMES = {
    "google": "protobuf",
    "markdown_it": "markdown-it-py",
    "prometheus_client": "prometheus-client",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "xprof": "tensorboard-plugin-profile",
}
# Errors of a full disk or quota, and of a disk that cannot be written.
DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def message_and_exit_code(error: Exception) -> tuple[str, int]:
    """Return the message and exit code of an unexpected error: short memory, a full disk, a missing package, a bug."""
    if _is_memory_error(error):
        return f"there is not enough memory ({in_short(error)})", MissingError.exit_code
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return f"{error.filename or 'a file'}: cannot be written ({error.strerror})", OutputError.exit_code
    if isinstance(error, ModuleNotFoundError) and not (error.name or "gpuprobe").startswith("gpuprobe"):
        return (
            f"the package {error.name} is not installed: pip install {_pip_name(error.name or '')}",
            MissingError.exit_code,
        )
    return f"unexpected {type(error).__name__}: {error}; --debug shows where", UNEXPECTED


def _pip_name(module: str) -> str:
    """Return the pip name of a module's package."""
    top_package = module.partition(".")[0]
    return PIP_NAMES.get(top_package, top_package)


def _is_memory_error(error: Exception) -> bool:
    """Whether an error means that memory ran out: for data, for a thread, or for loading a library."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    memory_words = (
        ("failed to map segment", "annot allocate memory") if isinstance(error, ImportError) else ("start new thread",)
    )
    says_memory = isinstance(error, ImportError | RuntimeError) and any(
        memory_word in str(error) for memory_word in memory_words
    )
    return isinstance(error, MemoryError) or says_memory
