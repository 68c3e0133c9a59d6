"""Faults that can be put into a run on purpose, to test gpuprobe: a slow map or step, a hang, an error, full memory.

Written `FAULT`, `FAULT=VALUE` or `FAULT=VALUE@STRATEGY`; recorded in the run's spec, and the report says so.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from gpuprobe.errors import UsageError
from gpuprobe.workloads.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import keras

    from gpuprobe.records import RunSpec


def parse(texts: Sequence[str]) -> tuple[tuple[str, str, str | None], ...]:
    """Split each text into (fault, value, strategy or None). Raises UsageError for an unknown fault."""
    parsed = []
    for text in texts:
        fault, _, strategy = text.partition("@")
        name, _, value = fault.partition("=")
        if name not in FAULTS:
            raise UsageError(f"--inject: there is no fault {name!r}; known are {', '.join(FAULTS)}")
        parsed.append((name, value, strategy or None))
    return tuple(parsed)


def inject(spec: RunSpec, workload: Workload) -> Workload:
    """Return the workload with the faults that the spec has for this strategy."""
    for name, value, strategy in parse(spec.inject):
        if strategy in {None, spec.strategy}:
            workload = FAULTS[name](workload, value)
    return workload


@dataclass(frozen=True, kw_only=True)
class _Slowed(Workload):
    seconds: float

    @property
    def pipeline_map(self) -> Callable[..., Any]:
        def slow(*sample: Any) -> Any:
            import tensorflow as tf

            def sleep(label: Any) -> Any:
                time.sleep(self.seconds)
                return label

            *others, last = sample
            slept = tf.numpy_function(sleep, [last], last.dtype, stateful=True)
            slept.set_shape(last.shape)
            return self.map(*others, slept) if self.map else (*others, slept)

        return slow


def _slow_map(workload: Workload, seconds: str) -> Workload:
    values = {field.name: getattr(workload, field.name) for field in fields(workload)}
    return _Slowed(**values, seconds=float(seconds))


@dataclass(frozen=True, kw_only=True)
class _Sleepy(Workload):
    fraction: float

    def compile(self, model: keras.Model, *, jit_compile: bool, steps_per_execution: int) -> None:
        """Compile the model so that after each call of its train function it sleeps for a fraction of that call."""
        super().compile(model, jit_compile=jit_compile, steps_per_execution=steps_per_execution)
        make = model.make_train_function

        def make_slowed(force: bool = False) -> None:
            if model.train_function is not None and not force:
                return
            make(force)
            call = model.train_function

            def slowed(*args: Any) -> Any:
                began_s = time.perf_counter()
                answer = call(*args)
                time.sleep(self.fraction * (time.perf_counter() - began_s))
                return answer

            model.train_function = slowed

        model.make_train_function = make_slowed


def _slow_step(workload: Workload, fraction: str) -> Workload:
    """`slow_step=0.05` slows each step by 5 %, or by less where the device computes asynchronously."""
    values = {field.name: getattr(workload, field.name) for field in fields(workload)}
    return _Sleepy(**values, fraction=float(fraction))


def _hang(workload: Workload, _value: str) -> Workload:
    time.sleep(1e6)
    return workload


def _raise(workload: Workload, _value: str) -> Workload:
    raise RuntimeError("injected error")


def _out_of_memory(workload: Workload, value: str) -> Workload:
    """`out_of_memory=mapping` raises the OSError of a failed memory map."""
    if value == "mapping":
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    raise MemoryError("injected: out of memory")


FAULTS: dict[str, Callable[[Workload, str], Workload]] = {
    "slow_map": _slow_map,
    "slow_step": _slow_step,
    "hang": _hang,
    "raise": _raise,
    "out_of_memory": _out_of_memory,
}
