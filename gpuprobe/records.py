"""The frozen records that pass from stage to stage, and their JSON.

Every stage after the measuring is a function of these, so it can run again later, on another machine, without
a GPU and without TensorFlow. Units live in the names: `_ns`, `_s`, `_ms`, `_w`, `_j`, `_mib`, `_fraction`
(0 to 1), `_per_s`. All times are nanoseconds since the Unix epoch, the clock of current TensorFlow traces.

Schema history
1  first version: runs, studies, evidence, findings
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from gpuprobe.errors import InputError, OutputError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = 1

Confidence = Literal["high", "medium", "low"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all records: immutable, built by keyword, saved as JSON."""


class Signal(Record):
    """One named piece of evidence: a value with unit, source and spread, or the reason why it is missing."""

    name: str
    unit: str
    source: str
    value: float | str | bool | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    missing: str | None = None


class Evidence(Record):
    """All signals known about one run or trace, in the order in which they were gathered."""

    signals: tuple[Signal, ...] = ()

    def get(self, name: str) -> Signal | None:
        """Return the signal of that name, or None where nobody gathered it."""
        return next((signal for signal in self.signals if signal.name == name), None)


class Gain(Record):
    """A speed-up as the ratio old step time / new step time, with its 95 % range where one is known."""

    ratio: float
    low: float | None = None
    high: float | None = None


class Finding(Record):
    """One cause, as the report prints it. `cause` is an id of the design's list; exactly one is `primary`.

    `severity` is the share of the step's wall time that the cause explains (0 to 1).
    """

    cause: str
    primary: bool
    severity: float
    confidence: Confidence
    claim: str
    evidence: tuple[Signal, ...]
    fix: str
    stage: str | None = None
    code: str = ""
    ties_with: str | None = None
    symptom_of: str | None = None
    predicted_gain: Gain | None = None
    measured_gain: Gain | None = None


class NotEvaluated(Record):
    """A rule that could not be decided, and the signal that was missing."""

    cause: str
    reason: str


AnyRecord = TypeVar("AnyRecord", bound=Record)


def to_json(record: Record | Any) -> bytes:
    """Encode a record as indented JSON that ends with a newline."""
    return msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n"


def save(record: Record, path: Path) -> None:
    """Write a record so that a reader sees the old file or the new one, never a half.

    Raises OutputError where the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(to_json(record))
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def load(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """Read a record back.

    Raises InputError where the file is missing, damaged, of another kind, or from a newer gpuprobe.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        schema = msgspec.json.decode(data, type=_Versioned).schema
        if schema is not None and schema > SCHEMA:
            raise InputError(
                f"{path}: written by a newer gpuprobe (schema {schema}, this one reads up to {SCHEMA}); "
                "upgrade with: pip install --upgrade gpuprobe"
            )
        return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise InputError(f"{path}: not a {kind.__name__.lower()} record of gpuprobe ({error})") from error


class _Versioned(msgspec.Struct):
    schema: int | None = None
