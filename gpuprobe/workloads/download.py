"""Downloads CIFAR-10 within a bounded time, name resolution included: no network must never mean a hang."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from gpuprobe.errors import GpuprobeError, InputError
from gpuprobe.workloads.archive import check_md5

if TYPE_CHECKING:
    from pathlib import Path

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
BLOCK_BYTES = 2**16
# Without a first byte by then there is no network worth waiting for.
CONNECT_S = 5.0


class DownloadError(GpuprobeError):
    """The archive could not be had in time, or was not the published one."""


def download(target: Path, within_s: float, url: str = URL) -> Path:
    """Fetch the archive to `target`, checked by its MD5, and return it.

    Raises DownloadError when it is not complete within `within_s` seconds, or wrong.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    failure: list[str] = []
    # In a thread that nobody waits for longer than promised: resolving a name can block where no timeout reaches.
    thread = threading.Thread(target=_fetch, args=(url, partial, time.monotonic() + within_s, failure), daemon=True)
    thread.start()
    thread.join(within_s)
    if thread.is_alive():
        raise DownloadError(f"the download did not end within {within_s:.0f} s")
    if failure:
        raise DownloadError(failure[0])
    try:
        check_md5(partial)
    except InputError as error:
        partial.unlink(missing_ok=True)
        raise DownloadError("what came was not the published archive (its MD5 differs)") from error
    return partial.replace(target)


def _fetch(url: str, partial: Path, deadline_s: float, failure: list[str]) -> None:
    try:
        timeout = min(CONNECT_S, max(0.1, deadline_s - time.monotonic()))
        with urllib.request.urlopen(url, timeout=timeout) as response, partial.open("wb") as file:  # noqa: S310
            while block := response.read(BLOCK_BYTES):
                file.write(block)
                if time.monotonic() > deadline_s:
                    failure.append("the download was too slow")
                    return
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        failure.append(f"the download failed ({reason})")
