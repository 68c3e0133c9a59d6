"""The diagnosis and step page of a profile, cached until the profile changes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.recorded import recorded
from gpuprobe.errors import GpuprobeError
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.stepview.page import render
from gpuprobe.stepview.said import facts, title_of
from gpuprobe.stepview.view import view_of
from gpuprobe.traces.read import read

if TYPE_CHECKING:
    from gpuprobe.board.sessions import ProfileSession
    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.ledger.records import DeviceBreakdown

# How many profiles' pages are cached, some megabytes each.
KEPT = 8


@dataclass(frozen=True)
class Judged:
    """A profile that was read: title, facts, diagnosis and step page; or the `trouble` that kept it from being read."""

    title: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    diagnosis: Diagnosis | None = None
    page: str = ""
    simulated: bool = False
    trouble: str = ""


class Judge:
    """Reads each profile once, whichever thread of the server asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Judged] = OrderedDict()
        self._devices: dict[tuple[str, int], DeviceBreakdown | None] = {}

    def judged(self, session: ProfileSession) -> Judged:
        """Return the diagnosis and pages of a profile."""
        key = (session.name, session.written_ns)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _judge(session)
            self._kept.move_to_end(key)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]

    def device(self, session: ProfileSession) -> DeviceBreakdown | None:
        """Return the breakdown of the device that the verdict is about; None where the profile has no step."""
        key = (session.name, session.written_ns)
        with self._lock:
            if key not in self._devices:
                self._devices[key] = _device(session)
            return self._devices[key]


def _judge(session: ProfileSession) -> Judged:
    try:
        case = recorded(session.of_run or session.folder)
        diagnosis = diagnose(case)
        view = view_of(case, diagnosis)
        page = render(view, alone=False)
    except GpuprobeError as error:
        return Judged(trouble=str(error))
    return Judged(title_of(view), tuple(facts(view)), diagnosis, page, case.simulated)


def _device(session: ProfileSession) -> DeviceBreakdown | None:
    try:
        return main_device(breakdown_of(read(session.folder)))
    except GpuprobeError:
        return None
