"""How the thread that trains uses the processor, by counters that a test writes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from gpuprobe.keras import core_use
from gpuprobe.keras.core_use import CoreUseMeter


class Kernel:
    """The counters of this thread, written as proc(5) has them; `pass_time` moves the clocks too."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.own = folder / str(threading.get_native_id())
        self.own.mkdir()
        self.now_s = self.process_s = 0.0
        self.ran_ns = self.waited_ns = self.sleeps = 0
        monkeypatch.setattr(core_use, "time", self)
        self.pass_time(5.0)

    def monotonic(self) -> float:
        return self.now_s

    def process_time(self) -> float:
        return self.process_s

    def pass_time(
        self, seconds: float, ran: float = 0.0, waited: float = 0.0, sleeps: int = 0, process: float = 0.0
    ) -> None:
        self.now_s, self.process_s = self.now_s + seconds, self.process_s + process
        self.ran_ns, self.waited_ns = self.ran_ns + int(ran * 1e9), self.waited_ns + int(waited * 1e9)
        self.sleeps += sleeps
        (self.own / "schedstat").write_text(f"{self.ran_ns} {self.waited_ns} 17\n")
        (self.own / "status").write_text(
            f"Name:\tpython\nvoluntary_ctxt_switches:\t{self.sleeps}\nnonvoluntary_ctxt_switches:\t9\n"
        )


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(tmp_path, monkeypatch)


def test_stretches_add_up_and_what_lies_between_does_not_count(kernel: Kernel, tmp_path: Path) -> None:
    meter = CoreUseMeter(tmp_path)
    assert meter.total is None
    meter.begin()
    kernel.pass_time(1.0, ran=0.25, waited=0.5, sleeps=2, process=0.75)
    meter.begin()
    kernel.pass_time(1.0, ran=0.25, waited=0.5, sleeps=1, process=0.75)
    meter.end()
    kernel.pass_time(7.0, ran=7.0, sleeps=99, process=7.0)
    meter.end()
    meter.begin()
    kernel.pass_time(2.0, ran=0.5, waited=1.0, sleeps=1, process=0.5)
    meter.end()
    told = meter.total
    assert told is not None
    assert (told.seconds, told.cpu_s, told.waited_s, told.sleeps, told.others_cpu_s) == (4.0, 1.0, 2.0, 4, 1.0)


def test_a_kernel_that_does_not_count_and_another_thread_tell_nothing(kernel: Kernel, tmp_path: Path) -> None:
    elsewhere = CoreUseMeter(tmp_path / "nowhere")
    elsewhere.begin()
    elsewhere.end()
    assert elsewhere.total is None
    meter = CoreUseMeter(tmp_path)
    meter.begin()
    kernel.pass_time(1.0)
    other = threading.Thread(target=meter.end)
    other.start()
    other.join()
    assert meter.total is None


def test_the_kernel_of_this_machine_counts() -> None:
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system has no /proc")
    meter = CoreUseMeter()
    meter.begin()
    threading.Event().wait(0.02)
    meter.end()
    assert meter.total is None or (meter.total.seconds >= 0.02 and meter.total.sleeps >= 1)
