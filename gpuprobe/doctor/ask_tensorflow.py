"""Asks TensorFlow in a child process."""

from __future__ import annotations

import contextlib

import msgspec

from gpuprobe.doctor.asking import Observer, ask_probe
from gpuprobe.doctor.facts import TensorflowFacts

# Log messages below warnings name the libraries that could not be loaded.
LOG_EVERYTHING = {"TF_CPP_MIN_LOG_LEVEL": "0"}


def ask_tensorflow(limit_s: float, observed: Observer = contextlib.nullcontext) -> TensorflowFacts:
    """Return TensorFlow's facts, asked for at most `limit_s` seconds, within the context manager `observed(pid)`."""
    answer = ask_probe("gpuprobe.doctor.probe", limit_s=limit_s, environ=LOG_EVERYTHING, observed=observed)
    facts = msgspec.convert(answer.found, TensorflowFacts)
    why_missing = answer.missing("tensorflow")
    return msgspec.structs.replace(facts, missing=why_missing, stages=answer.stages, died=answer.died, log=answer.log)
