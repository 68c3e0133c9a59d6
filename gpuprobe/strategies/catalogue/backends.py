"""Strategies that differ in Keras's backend: the same model, feed, first weights and order of samples."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gpuprobe.strategies.registry import strategy

if TYPE_CHECKING:
    from gpuprobe.strategies.plan import Machine, Plan


@strategy(order=130, against="numpy", changes="Keras trains with JAX", part="backend", backend="jax")
def jax(plan: Plan, machine: Machine) -> Plan:
    """The same training under Keras's JAX backend, which compiles the whole step with XLA."""
    return replace(plan, backend="jax", jit_compile=True)


@strategy(order=140, against="numpy", changes="Keras trains with PyTorch", part="backend", backend="torch")
def torch(plan: Plan, machine: Machine) -> Plan:
    """The same training under Keras's PyTorch backend, which runs the step eagerly, an operation at a time."""
    return replace(plan, backend="torch", jit_compile=False)
