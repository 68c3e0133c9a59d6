"""Finds the training images: an archive or folder that was named, Keras's cache, a download, or the synthetic set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from gpuprobe.errors import GpuprobeError, InputError
from gpuprobe.workloads import archive
from gpuprobe.workloads.digits import digits
from gpuprobe.workloads.download import DownloadError, download
from gpuprobe.workloads.synthetic import TEST, TRAIN, synthetic

if TYPE_CHECKING:
    from gpuprobe.workloads.arrays import Arrays

# The archive is 170 MB: a minute at 25 Mbit/s. Trying costs seconds where there is no network.
DOWNLOAD_S = 120.0
# The time limit of a download in auto mode: real images do not change the step time.
AUTO_DOWNLOAD_S = 25.0
ARCHIVE = "cifar-10-binary.tar.gz"


def find(choice: str, *, seed: int, samples: int | None = None) -> Arrays:
    """Return the set that `choice` asks for: `auto`, `cifar10`, `synthetic`, `digits`, or a path.

    If given, only the first `samples` training images are kept; of the synthetic set no more are made. Raises
    InputError where the choice is not available; `auto` never fails: it falls back to the synthetic set, whose `source`
    says why.
    """
    if choice == "synthetic":
        arrays = _synthetic(seed, samples, "Synthetic images, as asked for.")
    elif choice == "digits":
        arrays = digits()
    elif choice == "cifar10":
        arrays = _real(DOWNLOAD_S)
    elif choice == "auto":
        arrays = _real_or_synthetic(seed, samples)
    else:
        arrays = archive.read(_expanded(choice))
    return arrays.first(samples)


def _real_or_synthetic(seed: int, samples: int | None) -> Arrays:
    try:
        return _real(AUTO_DOWNLOAD_S)
    except GpuprobeError as error:
        return _synthetic(seed, samples, f"Synthetic images, since CIFAR-10 was not to be had: {error}.")


def _synthetic(seed: int, samples: int | None, why: str) -> Arrays:
    """Make the synthetic set; one of fewer training images has fewer test images in proportion."""
    train = min(samples or TRAIN, TRAIN)
    return synthetic(seed, why, train=train, test=max(1, train * TEST // TRAIN))


def _real(within_s: float) -> Arrays:
    own, damaged = _own_archive(), ""
    for place in _cached_places(own):
        try:
            if place.exists():
                return archive.read(place)
        except (InputError, OSError) as error:
            damaged = f"; {error}"
    if own is None:
        raise InputError(f"it is not in Keras's cache, and there is no home to keep it in: set XDG_CACHE_HOME{damaged}")
    try:
        return archive.read(download(own, within_s))
    except (DownloadError, OSError) as error:
        raise InputError(f"it is not in Keras's cache, and {error}{damaged}") from error


def _own_archive() -> Path | None:
    """Return the path of gpuprobe's own download, or None for a user without a home, as in some containers."""
    try:
        folder = Path(platformdirs.user_cache_dir("gpuprobe"))
    except RuntimeError:
        return None
    # Older versions of platformdirs do not raise, and name a folder "~" in the working directory.
    return folder / ARCHIVE if folder.is_absolute() else None


def _cached_places(own: Path | None) -> list[Path]:
    """List where the set may lie already: archives first, since they have a checksum."""
    datasets = _expanded(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"
    return [
        *([own] if own else []),
        *(datasets / name for name in archive.MD5),
        # Files of Keras's own download, archive and folder: of newer versions of Keras, then of older ones.
        datasets / "cifar-10-batches-py-target_archive",
        datasets / "cifar-10-batches-py.tar.gz",
        datasets / "cifar-10-batches-py-target" / "cifar-10-batches-py",
        datasets / "cifar-10-batches-py",
    ]


def _expanded(path: str) -> Path:
    # Path.expanduser and Path.home raise for a user without a home; this leaves the ~ there.
    return Path(os.path.expanduser(path))  # noqa: PTH111
