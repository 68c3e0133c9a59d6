"""The installed packages, and their requirements that other installed packages do not meet."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from gpuprobe.doctor.facts import Clash, PackageFacts

# Packages for training and profiling; some of them must not be installed together.
LOOKED_AT = (
    "tensorflow",
    "tensorflow-cpu",
    "tensorflow-gpu",
    "tf-nightly",
    "jax",
    "jaxlib",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "torch",
    "keras",
    "tensorboard",
    "tb-nightly",
    "tensorboard-plugin-profile",
    "xprof",
    "protobuf",
    "numpy",
    "h5py",
    "ml-dtypes",
    "grpcio",
    "setuptools",
    "nvidia-ml-py",
    "pynvml",
    "nvidia-cudnn-cu12",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cuda-cupti-cu12",
)


def packages() -> PackageFacts:
    """Return the installed packages, without importing them."""
    versions = {name: version for name in LOOKED_AT if (version := _version(name))}
    return PackageFacts(versions=versions, clashes=tuple(_clashes(versions)))


def _clashes(versions: dict[str, str]) -> list[Clash]:
    clashes = []
    for name in versions:
        for text in metadata.requires(name) or ():
            clash = _clash(name, text)
            if clash is not None:
                clashes.append(clash)
    return clashes


def _clash(name: str, text: str) -> Clash | None:
    try:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return None
        installed = _version(requirement.name)
        if installed and requirement.specifier.contains(installed, prereleases=True):
            return None
    except (InvalidRequirement, InvalidVersion):
        return None
    wanted = f"{requirement.name}{requirement.specifier}"
    return Clash(package=name, requires=wanted, installed=installed or "nothing")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
