"""Reads CIFAR-10 from its archives or folders, safely for any content.

The python version is a pickle, which could run anything: the reader admits only the few names that the published
batches use. Nothing is extracted: members are read from the archive in memory, and bounded.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import pickletools
import tarfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpuprobe.errors import InputError
from gpuprobe.workloads.arrays import Arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

# https://www.cs.toronto.edu/~kriz/cifar.html
MD5 = {
    "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
    "cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530",
}
TRAIN_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
TEST_BATCH = "test_batch"
IMAGE_BYTES = 3 * 32 * 32
BATCH_IMAGES = 10_000
# A batch of either version is 31 MB; one many times larger is none.
MAX_MEMBER_BYTES = 64 * 2**20
# A published batch keeps some 10,000 objects for later reference. The C reader makes room for the highest number that
# the pickle asks for, so that a few hostile bytes would take 34 GB.
MAX_MEMO = 2**20
REMEDY = "download CIFAR-10 again from https://www.cs.toronto.edu/~kriz/cifar.html"
# All names in the published pickles: what numpy needs to rebuild an array.
ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}

Batch = tuple["NDArray[np.uint8]", "NDArray[np.int64]"]


def read(path: Path) -> Arrays:
    """Read the python or binary version, as the published .tar.gz or the folder it extracts to.

    An archive must have its published MD5; a folder cannot be checked so, and every batch in it is checked for its
    shape instead. Raises InputError, naming the file and what to do.
    """
    try:
        return _read(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _read(path: Path) -> Arrays:
    if path.is_dir():
        members, checked = (
            _folder_members(path),
            "its batches have the right shape; a folder has no published checksum",
        )
    elif path.is_file():
        check_md5(path)
        members, checked = _archive_members(path), "its MD5 is the published one"
    else:
        raise InputError(f"{path}: there is no such file or folder; name CIFAR-10's archive or its folder")
    batches = [_batch(members, name, path) for name in (*TRAIN_BATCHES, TEST_BATCH)]
    *train, test = batches
    return Arrays(
        x=np.concatenate([x for x, _ in train]),
        y=np.concatenate([y for _, y in train]),
        x_test=test[0],
        y_test=test[1],
        classes=10,
        name="CIFAR-10",
        source=f"CIFAR-10 from {path.name}: {checked}.",
    )


def check_md5(path: Path) -> None:
    """Raise InputError where the file is not one of the two published archives, byte for byte; OSError unread."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    if digest.hexdigest() not in MD5.values():
        raise InputError(
            f"{path}: not CIFAR-10's published archive (its MD5 is {digest.hexdigest()}): damaged, cut short or "
            "packed anew; download it again, or name the folder that you extracted it to"
        )


def _folder_members(path: Path) -> Callable[[str], bytes | None]:
    def member(name: str) -> bytes | None:
        for folder in (path, path / "cifar-10-batches-py", path / "cifar-10-batches-bin"):
            file = folder / name
            if file.is_file():
                if file.stat().st_size > MAX_MEMBER_BYTES:
                    raise InputError(f"{file}: too large for a batch of CIFAR-10; {REMEDY}")
                return file.read_bytes()
        return None

    return member


def _archive_members(path: Path) -> Callable[[str], bytes | None]:
    members: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for info in archive:
                if info.isreg() and info.size <= MAX_MEMBER_BYTES:
                    file = archive.extractfile(info)
                    members[Path(info.name).name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise InputError(f"{path}: not a readable .tar.gz ({error}); download it again") from error
    return members.get


def _batch(member: Callable[[str], bytes | None], name: str, path: Path) -> Batch:
    where = f"{path}: {name}"
    pickled = member(name)
    if pickled is not None:
        return _from_pickle(pickled, where)
    packed = member(f"{name}.bin")
    if packed is not None:
        return _from_binary(packed, where)
    raise InputError(f"{path}: CIFAR-10's {name} is not in it; {REMEDY}")


def _from_binary(data: bytes, where: str) -> Batch:
    """Read records of one label byte and 3,072 image bytes, channel by channel."""
    if len(data) != BATCH_IMAGES * (1 + IMAGE_BYTES):
        expected = BATCH_IMAGES * (1 + IMAGE_BYTES)
        raise InputError(f"{where} has {len(data):,} bytes, not the {expected:,} of a batch; {REMEDY}")
    records = np.frombuffer(data, np.uint8).reshape(BATCH_IMAGES, 1 + IMAGE_BYTES)
    return _checked(records[:, 1:], records[:, 0].astype(np.int64), where)


def _from_pickle(data: bytes, where: str) -> Batch:
    try:
        _check_memo(data)
        batch: Any = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        images, labels = batch[b"data"], np.asarray(batch[b"labels"], np.int64)
    except Exception as error:  # a hostile file may make pickle and numpy raise anything
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{where} is not a batch of CIFAR-10 ({reason}); {REMEDY}") from error
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise InputError(f"{where} holds no array of bytes; {REMEDY}")
    return _checked(images, labels, where)


def _checked(images: NDArray[np.uint8], labels: NDArray[np.int64], where: str) -> Batch:
    if images.shape != (BATCH_IMAGES, IMAGE_BYTES) or labels.shape != (BATCH_IMAGES,):
        raise InputError(f"{where} has arrays of shape {images.shape} and {labels.shape}, not CIFAR-10's; {REMEDY}")
    if labels.min() < 0 or labels.max() > 9:
        raise InputError(f"{where} has labels beside 0 to 9; {REMEDY}")
    return np.ascontiguousarray(images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), labels


def _check_memo(data: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name.endswith("PUT") and isinstance(argument, int) and argument > MAX_MEMO:
            raise pickle.UnpicklingError(f"it asks for room for {argument:,} objects: refused")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ADMITTED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}: refused, and nothing in it was run")
