"""Asks TensorFlow in a child process."""

from __future__ import annotations

import contextlib

import msgspec

from gpuprobe.doctor.asking import Observer, listen
from gpuprobe.doctor.facts import TensorflowFacts

# Log messages below warnings name the libraries that could not be loaded.
TALKATIVE = {"TF_CPP_MIN_LOG_LEVEL": "0"}


def ask(limit_s: float, observed: Observer = contextlib.nullcontext) -> TensorflowFacts:
    """Return TensorFlow's facts, asked for at most `limit_s` seconds, within the context manager `observed(pid)`."""
    answer = listen("gpuprobe.doctor.probe", limit_s=limit_s, environ=TALKATIVE, observed=observed)
    facts = msgspec.convert(answer.found, TensorflowFacts)
    missing = answer.missing("tensorflow")
    return msgspec.structs.replace(facts, missing=missing, stages=answer.stages, died=answer.died, log=answer.log)
