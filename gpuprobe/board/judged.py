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
from gpuprobe.stepview.said import title_of, trace_facts_of
from gpuprobe.stepview.view import view_of
from gpuprobe.traces.read import read

if TYPE_CHECKING:
    from gpuprobe.board.sessions import ProfileSession
    from gpuprobe.diagnosis.records import Diagnosis
    from gpuprobe.ledger.records import DeviceBreakdown

# How many profiles' pages are cached, some megabytes each.
CACHED_PROFILES = 8


@dataclass(frozen=True)
class Judged:
    """A profile that was read: title, facts, diagnosis and step page; or `trouble`, why it could not be read."""

    title: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    diagnosis: Diagnosis | None = None
    page: str = ""
    simulated: bool = False
    trouble: str = ""


class Judge:
    """Reads and diagnoses each profile once, also where several threads of the server ask at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Judged] = OrderedDict()
        self._devices: dict[tuple[str, int], DeviceBreakdown | None] = {}

    def judged(self, session: ProfileSession) -> Judged:
        """Return the diagnosis and pages of a profile."""
        profile_key = (session.name, session.written_ns)
        with self._lock:
            if profile_key not in self._kept:
                self._kept[profile_key] = _judge(session)
            self._kept.move_to_end(profile_key)
            while len(self._kept) > CACHED_PROFILES:
                self._kept.popitem(last=False)
            return self._kept[profile_key]

    def device(self, session: ProfileSession) -> DeviceBreakdown | None:
        """Return the breakdown of the device that the verdict is about; None where the profile has no step."""
        profile_key = (session.name, session.written_ns)
        with self._lock:
            if profile_key not in self._devices:
                self._devices[profile_key] = _device(session)
            return self._devices[profile_key]


def _judge(session: ProfileSession) -> Judged:
    try:
        case = recorded(session.of_run or session.folder)
        diagnosis = diagnose(case)
        step_view = view_of(case, diagnosis)
        step_page = render(step_view, alone=False)
    except GpuprobeError as error:
        return Judged(trouble=str(error))
    return Judged(title_of(step_view), tuple(trace_facts_of(step_view)), diagnosis, step_page, case.simulated)


def _device(session: ProfileSession) -> DeviceBreakdown | None:
    try:
        return main_device(breakdown_of(read(session.folder)))
    except GpuprobeError:
        return None
