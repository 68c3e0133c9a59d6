"""TensorFlow's profiler stops without harm where threads ended what others began."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gpuprobe.backends.freed_events import destructor_calls
from gpuprobe.errors import MissingError

# Each of twelve threads begins events that another one ends, as workers of a cluster do. Without `kept_events` the
# first trace crashed in most tries.
SCRIPT = """
import ctypes, sys, threading, time
from pathlib import Path
import tensorflow as tf
from gpuprobe.backends.freed_events import destructor_calls, kept_events
from gpuprobe.backends.with_tensorflow import in_cluster

library = next(line.split()[-1] for line in open("/proc/self/maps") if "libtensorflow_framework" in line)
record = ctypes.CDLL(library)["_ZN3tsl8profiler15TraceMeRecorder6RecordEONS1_5EventE"]
malloc = ctypes.CDLL(None).malloc
malloc.restype = ctypes.c_void_p
NAME = b"begun in one thread, ended in another"

class Event(ctypes.Structure):
    # A std::string of libstdc++: a long one has its bytes, and at first the size of their memory, elsewhere.
    _fields_ = [("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("capacity", ctypes.c_size_t),
                ("_", ctypes.c_size_t), ("begin_ns", ctypes.c_int64), ("end_ns", ctypes.c_int64)]

def begin(number):
    event = Event(malloc(len(NAME) + 1), len(NAME), len(NAME), 0, time.time_ns(), -number)
    ctypes.memmove(event.at, NAME, len(NAME) + 1)
    record(ctypes.byref(event))

def end(number):
    event = Event(0, 0, 0, 0, -number, time.time_ns())
    event.at = ctypes.addressof(event) + Event.capacity.offset
    record(ctypes.byref(event))

def in_thread(work, first):
    def run():
        for number in range(first, first + 50):
            work(number)
        recorded.wait()
        stopped.wait()
    return threading.Thread(target=run)

def value():
    return [ctypes.c_void_p.from_address(call).value for call in destructor_calls()]

before = value()
for trace in "ab":
    recorded, stopped = threading.Barrier(25), threading.Event()
    threads = [in_thread(work, 1 << 40 | pair << 20) for pair in range(12) for work in (begin, end)]
    tf.profiler.experimental.start(str(Path(sys.argv[1], trace)))
    for thread in threads:
        thread.start()
    recorded.wait()
    with kept_events():
        tf.profiler.experimental.stop()
    stopped.set()
    for thread in threads:
        thread.join()
assert value() == before
assert not in_cluster()
"""


def test_events_that_another_thread_ended_do_no_harm(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, check=False)
    assert run.returncode == 0, run.stderr.decode(errors="replace")
    assert len(list(tmp_path.glob("*/plugins/profile/*/*.xplane.pb"))) == 2


def test_without_tensorflows_library_nothing_is_known_of_its_calls(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7f0000000000-7f0000001000 r--p 00000000 00:00 1 /usr/lib/libc.so.6\n")
    monkeypatch.setattr("gpuprobe.backends.freed_events.MAPPED", maps)
    destructor_calls.cache_clear()
    with pytest.raises(MissingError, match="crashed workers"):
        destructor_calls()


@pytest.mark.parametrize("content", [b"", b"no library", b"\x7fELF\x02\x01" + bytes(200)])
def test_another_file_is_no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    library = tmp_path / "libtensorflow_framework.so.2"
    library.write_bytes(content)
    maps = tmp_path / "maps"
    maps.write_text(f"7f0000000000-7f0000001000 rw-p 00000000 00:00 1 {library}\n")
    monkeypatch.setattr("gpuprobe.backends.freed_events.MAPPED", maps)
    destructor_calls.cache_clear()
    with pytest.raises(MissingError, match="crashed workers"):
        destructor_calls()
