"""Asks a process of its own what a workload is, and which strategies cannot apply to it, before a study.

That process runs `examine`: the parent of a study never runs a user's code and never imports TensorFlow.
"""

from __future__ import annotations

import re
import signal
from contextlib import suppress

import msgspec

from gpuprobe import child
from gpuprobe.errors import InputError
from gpuprobe.measure.process import training_environment
from gpuprobe.records import Record

# Log lines of TensorFlow and its libraries below errors, which do not say why a process ended.
LOG_LINE = re.compile(r"[IW]\d{4} |\d{4}-\d\d-\d\d \S+ [IW] |WARNING: All log messages before absl|To enable the foll")


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
    """What a workload is: its name, its data in words, the samples of an epoch and of a batch.

    `skip` says by strategy why some cannot apply to it. Unless the samples of an epoch are `counted`, its last batch
    may be smaller than assumed.
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
    """A progress message: what is done next with the user's code, to follow "while": `its model was built`."""

    stage: str


def survey(question: Question, limit_s: float) -> Survey:
    """Examine the workload in a fresh process. Raises InputError with one line where it cannot be trained."""
    environ = training_environment(question.backend)
    child_answer = child.ask(
        "gpuprobe.measure.examine", question=msgspec.json.encode(question), limit_s=limit_s, environ=environ
    )
    last_message: Survey | Refusal | SurveyStage = SurveyStage(stage="Keras was imported")
    for line in child_answer.out.splitlines():
        last_message = _message(line)
    if isinstance(last_message, Survey):
        return last_message
    if isinstance(last_message, Refusal):
        raise InputError(last_message.refused)
    raise InputError(f"{question.model}: {_how_it_ended(child_answer, limit_s)} while {last_message.stage}")


def _message(line: bytes) -> Survey | Refusal | SurveyStage:
    with suppress(msgspec.ValidationError):
        return msgspec.json.decode(line, type=Survey)
    with suppress(msgspec.ValidationError):
        return msgspec.json.decode(line, type=Refusal)
    return msgspec.json.decode(line, type=SurveyStage)


def _how_it_ended(child_answer: child.Answer, limit_s: float) -> str:
    """Return how a process without an answer ended."""
    if child_answer.code is None:
        return f"had not answered after {limit_s:.0f} s (--limit sets this time)"
    if child_answer.code == 0:
        return "ended the process with exit code 0 (as os._exit does; remove that call)"
    lines = child_answer.err.decode(errors="replace").splitlines()
    errors = [line.strip() for line in lines if line.strip() and not LOG_LINE.match(line)]
    last_error = f" ({errors[-1]})" if errors else ""
    if child_answer.code > 0:
        return f"ended the process with exit code {child_answer.code}{last_error}"
    return f"was ended by {signal.Signals(-child_answer.code).name}{last_error}"
