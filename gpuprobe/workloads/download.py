"""Downloads CIFAR-10 within limits of time (name resolution included) and size, so that it never hangs."""

from __future__ import annotations

import http.client
import os
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
# The time limit for the server's first answer.
ANSWER_S = 5.0
# The size limit: the archive has 170 MB.
MAX_BYTES = 200 * 2**20


class DownloadError(GpuprobeError):
    """The archive did not arrive in time, or is not the published one."""


def download(target: Path, within_s: float, url: str = URL) -> Path:
    """Fetch the archive to `target`, checked by its MD5, and return it; whatever fails leaves no file behind.

    Raises DownloadError when the server does not answer within ANSWER_S, when the transfer is not complete within
    `within_s` seconds in all, or when something else came; OSError where the folder cannot be made.
    """
    deadline_s = time.monotonic() + within_s
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own, since two studies may download at the same time.
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    transfer = _Transfer(url, partial)
    transfer.start()
    try:
        if not transfer.answered.wait(min(ANSWER_S, within_s)):
            raise DownloadError(f"the server did not answer within {min(ANSWER_S, within_s):.0f} s")
        transfer.join(max(0.0, deadline_s - time.monotonic()))
        if transfer.is_alive():
            raise DownloadError(f"the download did not end within {within_s:.0f} s")
        if transfer.failure:
            raise DownloadError(transfer.failure)
        check_md5(partial)
        return partial.replace(target)
    except InputError as error:
        raise DownloadError("what came was not the published archive, or not all of it (its MD5 differs)") from error
    finally:
        transfer.abandoned.set()
        partial.unlink(missing_ok=True)


class _Transfer(threading.Thread):
    """One transfer in a daemon thread, since name resolution cannot be given a timeout.

    `answered` is set with the server's first word or with the failure; once `abandoned` is set it stops by itself.
    """

    def __init__(self, url: str, partial: Path) -> None:
        super().__init__(name="download", daemon=True)
        self.answered, self.abandoned = threading.Event(), threading.Event()
        self.failure = ""
        self._url, self._partial = url, partial

    def run(self) -> None:
        try:
            with urllib.request.urlopen(self._url, timeout=ANSWER_S) as response:  # noqa: S310
                self.answered.set()
                self._store(response)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            # The message may hold lines of a server that does not speak HTTP.
            self.failure = f"the download failed ({' '.join(str(reason).split()) or type(error).__name__})"
        finally:
            self.answered.set()
            if self.abandoned.is_set():
                self._partial.unlink(missing_ok=True)

    def _store(self, response: http.client.HTTPResponse) -> None:
        received = 0
        if self.abandoned.is_set():
            return
        with self._partial.open("wb") as file:
            # `read1` returns partial data, so that the time limit is checked even if the server is slow.
            while not self.abandoned.is_set() and (block := response.read1(BLOCK_BYTES)):
                received += len(block)
                if received > MAX_BYTES:
                    self.failure = "the download failed (more came than the archive holds)"
                    return
                file.write(block)
