"""Asks what a workload is, and which strategies cannot apply to it; a process of its own examines it before a study.

`examine` is that process: the parent of a study never runs a user's code and never imports TensorFlow.
"""

from __future__ import annotations

import re
import signal
from contextlib import suppress

import msgspec

from gpuprobe import child
from gpuprobe.errors import InputError
from gpuprobe.measure.process import training
from gpuprobe.records import Record

# Log lines of TensorFlow and its libraries below errors, which do not say why a process ended.
LOGGED = re.compile(r"[IW]\d{4} |\d{4}-\d\d-\d\d \S+ [IW] |WARNING: All log messages before absl|To enable the foll")


class Question(Record, frozen=True, kw_only=True):
    """Which workload to examine, its batch size (0: its own), and under which strategies of one backend.

    `against` gives, by strategy, the one that it is compared with in this study.
    """

    model: str
    batch_size: int | None
    strategies: tuple[str, ...]
    backend: str = "tensorflow"
    against: dict[str, str] = msgspec.field(default_factory=dict)


class Survey(Record, frozen=True, kw_only=True):
    """The answer: the workload's data in words, samples of an epoch and a step, and why some strategies cannot apply.

    Where the samples of an epoch are not `counted`, its last batch may be smaller than assumed.
    """

    name: str
    data: str
    samples: int
    batch_size: int
    skip: dict[str, str]
    counted: bool = True


class Refusal(Record, frozen=True, kw_only=True):
    """Why a workload cannot be trained, in one line."""

    refused: str


class SurveyStage(Record, frozen=True, kw_only=True):
    """A progress message: what is about to be done with the user's code, as `its model was built`."""

    stage: str


def survey(question: Question, limit_s: float) -> Survey:
    """Examine the workload in a fresh process. Raises InputError with one line where it cannot be trained."""
    environ = training(question.backend)
    answered = child.ask(
        "gpuprobe.measure.examine", question=msgspec.json.encode(question), limit_s=limit_s, environ=environ
    )
    last: Survey | Refusal | SurveyStage = SurveyStage(stage="Keras was imported")
    for line in answered.out.splitlines():
        last = _message(line)
    if isinstance(last, Survey):
        return last
    if isinstance(last, Refusal):
        raise InputError(last.refused)
    raise InputError(f"{question.model}: {_how_it_ended(answered, limit_s)} while {last.stage}")


def _message(line: bytes) -> Survey | Refusal | SurveyStage:
    with suppress(msgspec.ValidationError):
        return msgspec.json.decode(line, type=Survey)
    with suppress(msgspec.ValidationError):
        return msgspec.json.decode(line, type=Refusal)
    return msgspec.json.decode(line, type=SurveyStage)


def _how_it_ended(answered: child.Answer, limit_s: float) -> str:
    """Return how a process without an answer ended."""
    if answered.code is None:
        return f"had not answered after {limit_s:.0f} s (--limit sets this time)"
    if answered.code == 0:
        return "ended the process with exit code 0 (as os._exit does; take that out)"
    lines = answered.err.decode(errors="replace").splitlines()
    errors = [line.strip() for line in lines if line.strip() and not LOGGED.match(line)]
    last = f" ({errors[-1]})" if errors else ""
    if answered.code > 0:
        return f"ended the process with exit code {answered.code}{last}"
    return f"was ended by {signal.Signals(-answered.code).name}{last}"
