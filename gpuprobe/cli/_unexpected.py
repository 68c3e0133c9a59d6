"""What an error means that no part of gpuprobe raised on purpose: something the machine lacks, or a fault of ours."""

from __future__ import annotations

import errno

from gpuprobe.errors import UNEXPECTED, MissingError, OutputError, in_short

# Names of packages in pip, where they differ from those in Python.
DISTRIBUTIONS = {
    "google": "protobuf",
    "markdown_it": "markdown-it-py",
    "prometheus_client": "prometheus-client",
    "pynvml": "nvidia-ml-py",
    "sklearn": "scikit-learn",
    "xprof": "tensorboard-plugin-profile",
}
# Errors of a full disk or quota, and of a disk that cannot be written.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def meaning(error: Exception) -> tuple[str, int]:
    """Return the message and the exit code for an error: of memory, a disk or a package that lacks, or of gpuprobe."""
    if _is_of_memory(error):
        return f"there is not enough memory ({in_short(error)})", MissingError.exit_code
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        return f"{error.filename or 'a file'}: cannot be written ({error.strerror})", OutputError.exit_code
    if isinstance(error, ModuleNotFoundError) and not (error.name or "gpuprobe").startswith("gpuprobe"):
        return (
            f"the package {error.name} is not installed: pip install {_distribution(error.name or '')}",
            MissingError.exit_code,
        )
    return f"unexpected {type(error).__name__}: {error}; --debug shows where", UNEXPECTED


def _distribution(module: str) -> str:
    """Return the pip name of a module's package."""
    top = module.partition(".")[0]
    return DISTRIBUTIONS.get(top, top)


def _is_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out: for data, for a thread, or for loading a library."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    words = (
        ("failed to map segment", "annot allocate memory") if isinstance(error, ImportError) else ("start new thread",)
    )
    worded = isinstance(error, ImportError | RuntimeError) and any(word in str(error) for word in words)
    return isinstance(error, MemoryError) or worded
