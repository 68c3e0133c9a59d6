"""Asks JAX and PyTorch, each in a child process, where they are installed."""

from __future__ import annotations

import msgspec

from gpuprobe.backends.known import BACKENDS, TENSORFLOW, environment, is_installed
from gpuprobe.doctor.asking import ask_probe
from gpuprobe.doctor.facts import BackendFacts

OTHER_BACKENDS = tuple(name for name in BACKENDS if name != TENSORFLOW)


def ask_backends(limit_s: float) -> tuple[BackendFacts, ...]:
    """Return the facts of each installed backend, asked for at most `limit_s` seconds."""
    return tuple(ask_backend(backend, limit_s) for backend in OTHER_BACKENDS if is_installed(backend))


def ask_backend(backend: str, limit_s: float) -> BackendFacts:
    """Return the facts of one backend, asked for at most `limit_s` seconds."""
    answer = ask_probe("gpuprobe.doctor.probe_backend", backend, limit_s=limit_s, environ=environment(backend))
    facts = msgspec.convert({"backend": backend, **answer.found}, BackendFacts)
    why_missing = answer.missing(backend)
    return msgspec.structs.replace(facts, missing=why_missing, stages=answer.stages, died=answer.died, log=answer.log)
