"""A cause of the catalogue as text: what it is, how it shows, what decides it, what cures it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe import wording
from gpuprobe.advice.situation import situation
from gpuprobe.diagnosis.causes import CATALOGUE, STAGES
from gpuprobe.records import Evidence
from gpuprobe.report import signals
from gpuprobe.thresholds import DEFAULTS, source

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import Cause

CODE = "Code"
DEVICES = {"gpu": "GPU", "cpu": "processor"}


def explained(cause: Cause) -> list[tuple[str, str]]:
    """Return titles and texts, of a line or more each; that of `CODE` is a diff."""
    fix, code = _default_fix(cause)
    entries = [
        ("Cause", f"{cause.id}: {cause.words}."),
        ("How it shows", cause.signature),
        ("Shown by", f"the traces and readings of a {' or a '.join(DEVICES[device] for device in cause.devices)}."),
        ("Evidence", f"{'; '.join(signals.signal_label(name) for name in cause.evidence)}."),
        ("In --json", f"{', '.join(cause.evidence)}."),
        ("Decided by", "\n".join(map(_threshold, cause.decided_by))),
        ("Stages", "\n".join(f"{name}: {stage.words}." for name, stage in STAGES.items() if stage.of == cause.id)),
        ("Fix", fix),
        (CODE, code),
        ("Predicted by", f"the replay of a trace with {wording.listing([*cause.cures])}." if cause.cures else ""),
        ("Mistaken for", f"{cause.mistaken_for}."),
        (
            "Root causes",
            f"{wording.listing([*cause.roots])}: where one of them is sure, it leads instead." if cause.roots else "",
        ),
        ("Symptoms", f"{wording.listing([*cause.symptoms])}." if cause.symptoms else ""),
    ]
    return [(title, entry) for title, entry in entries if entry]


def causes_listed() -> list[tuple[str, str, str]]:
    """Return id, plain words and the kinds of device that show it, for each cause."""
    return [(cause.id, cause.words, " and ".join(DEVICES[device] for device in cause.devices)) for cause in CATALOGUE]


def _default_fix(cause: Cause) -> tuple[str, str]:
    """Return the advice for a training with TensorFlow of which nothing is known: it names all possible changes."""
    advice = cause.advice(situation(Evidence(), DEFAULTS), None) if cause.advice else None
    return (advice.fix, advice.code) if advice else (cause.fix, "")


def _threshold(name: str) -> str:
    return f"{name} = {getattr(DEFAULTS, name):g}: {source(name)}"
