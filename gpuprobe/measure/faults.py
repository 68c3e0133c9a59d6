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
        fault_and_value, _, strategy = text.partition("@")
        fault_name, _, fault_value = fault_and_value.partition("=")
        if fault_name not in FAULTS:
            raise UsageError(f"--inject: there is no fault {fault_name!r}; known are {', '.join(FAULTS)}")
        parsed.append((fault_name, fault_value, strategy or None))
    return tuple(parsed)


def inject(spec: RunSpec, workload: Workload) -> Workload:
    """Return the workload with the faults that the spec's `inject` names for its strategy."""
    for fault_name, fault_value, strategy in parse(spec.inject):
        if strategy in {None, spec.strategy}:
            workload = FAULTS[fault_name](workload, fault_value)
    return workload


@dataclass(frozen=True, kw_only=True)
class _SlowMapWorkload(Workload):
    seconds: float

    @property
    def pipeline_map(self) -> Callable[..., Any]:
        def slow_map(*sample: Any) -> Any:
            import tensorflow as tf

            def sleep(label: Any) -> Any:
                time.sleep(self.seconds)
                return label

            *other_parts, label = sample
            slept_label = tf.numpy_function(sleep, [label], label.dtype, stateful=True)
            slept_label.set_shape(label.shape)
            return self.map(*other_parts, slept_label) if self.map else (*other_parts, slept_label)

        return slow_map


def _slow_map(workload: Workload, seconds: str) -> Workload:
    values = {field.name: getattr(workload, field.name) for field in fields(workload)}
    return _SlowMapWorkload(**values, seconds=float(seconds))


@dataclass(frozen=True, kw_only=True)
class _SlowStepWorkload(Workload):
    fraction: float

    def compile(self, model: keras.Model, *, jit_compile: bool, steps_per_execution: int) -> None:
        """Compile the model so that after each call of its train function it sleeps for a fraction of that call."""
        super().compile(model, jit_compile=jit_compile, steps_per_execution=steps_per_execution)
        make_train_function = model.make_train_function

        def make_slowed(force: bool = False) -> None:
            if model.train_function is not None and not force:
                return
            make_train_function(force)
            train_function = model.train_function

            def slowed_train_function(*args: Any) -> Any:
                began_s = time.perf_counter()
                answer = train_function(*args)
                time.sleep(self.fraction * (time.perf_counter() - began_s))
                return answer

            model.train_function = slowed_train_function

        model.make_train_function = make_slowed


def _slow_step(workload: Workload, fraction: str) -> Workload:
    """`slow_step=0.05` makes each step 5 % slower, or less where the device computes asynchronously."""
    values = {field.name: getattr(workload, field.name) for field in fields(workload)}
    return _SlowStepWorkload(**values, fraction=float(fraction))


def _hang(workload: Workload, _value: str) -> Workload:
    time.sleep(1e6)
    return workload


def _raise(workload: Workload, _value: str) -> Workload:
    raise RuntimeError("injected error")


def _out_of_memory(workload: Workload, kind: str) -> Workload:
    """`out_of_memory=mapping` raises the OSError of a failed memory map."""
    if kind == "mapping":
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    raise MemoryError("injected: out of memory")


FAULTS: dict[str, Callable[[Workload, str], Workload]] = {
    "slow_map": _slow_map,
    "slow_step": _slow_step,
    "hang": _hang,
    "raise": _raise,
    "out_of_memory": _out_of_memory,
}
