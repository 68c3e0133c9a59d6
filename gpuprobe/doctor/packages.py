"""The installed packages, and their requirements that other installed packages do not meet."""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from gpuprobe.doctor.facts import Clash, PackageFacts

# Packages for training and profiling; some of them must not be installed together.
PACKAGES = (
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


def package_facts() -> PackageFacts:
    """Return the installed packages, without importing them."""
    versions = {package: version for package in PACKAGES if (version := _installed_version(package))}
    return PackageFacts(versions=versions, clashes=tuple(_clashes(versions)))


def _clashes(versions: dict[str, str]) -> list[Clash]:
    clashes = []
    for package in versions:
        for requirement_text in metadata.requires(package) or ():
            clash = _clash(package, requirement_text)
            if clash is not None:
                clashes.append(clash)
    return clashes


def _clash(package: str, requirement_text: str) -> Clash | None:
    try:
        requirement = Requirement(requirement_text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            return None
        installed = _installed_version(requirement.name)
        if installed and requirement.specifier.contains(installed, prereleases=True):
            return None
    except (InvalidRequirement, InvalidVersion):
        return None
    required = f"{requirement.name}{requirement.specifier}"
    return Clash(package=package, requires=required, installed=installed or "nothing")


def _installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
