"""Why one backend is faster than another: parts that add up, and what the first call costs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from gpuprobe.ranking.ranking import Row
from gpuprobe.ranking.rates import Interval
from gpuprobe.report.backends import step_by_backend
from gpuprobe.simulate import recordings


def row(strategy: str, backend: str, rank: int, step_ms: float, first_call_s: float, **parts: float) -> Row:
    settings = recordings.settings(device="/device:CPU:0", batch_size=10)
    rate = 10_000 / step_ms
    made = Row(
        rank=rank,
        strategy=strategy,
        sentence="One.",
        change="one thing",
        against=None,
        samples_per_s=Interval(value=rate, low=0.9 * rate, high=1.1 * rate, n=8),
        epoch_s=None,
        settings=msgspec.structs.replace(settings, backend=backend, jit_compile=backend == "jax", intra_op_threads=2),
        first_call_s=first_call_s,
    )
    breakdown: Any = SimpleNamespace(ledger_ms=parts) if parts else None
    return msgspec.structs.replace(made, breakdown=breakdown)


JAX = row("jax", "jax", 1, 2.0, 3.0, cpu_compute=1.5, cpu_dispatch=0.5)
TORCH = row("torch", "torch", 3, 5.0, 0.3, cpu_compute=2.0, cpu_dispatch=3.0, idle_input=0.5)


def ranking(*rows: Row) -> Any:
    return SimpleNamespace(rows=rows)


def test_the_parts_of_a_difference_are_named_and_add_up() -> None:
    table, (why,) = step_by_backend(ranking(JAX, TORCH))
    assert table[0][3:-1] == ["step", "traced step", "`cpu_compute`", "`cpu_dispatch`", "`idle_input`"]
    assert table[2][3:-1] == ["5.00 ms", "5.50 ms", "2.00 ms", "3.00 ms", "0.50 ms"]
    assert "3.50 ms longer than that of `jax`: +2.50 ms `cpu_dispatch`" in why
    assert "+0.50 ms `cpu_compute`" in why
    assert "+0.50 ms `idle_input`" in why
    assert "`cpu_dispatch`: Python starts its operations one at a time (jit_compile is off); `jax`: its step is" in why
    assert "`idle_input`: Keras feeds the same data in another way under PyTorch than under JAX." in why
    assert "No setting explains `cpu_compute`." in why
    # 2.7 s more before the first step, 3 ms less in each.
    assert "takes 2.70 s longer; that is made up for after 900 steps" in why


@pytest.mark.parametrize(
    ("slower", "words"),
    [
        (msgspec.structs.replace(TORCH, rank=1), "shares its rank with `jax`"),
        (msgspec.structs.replace(TORCH, ties_with=("jax",)), "ties with `jax`: no difference beyond the noise"),
        (msgspec.structs.replace(TORCH, breakdown=None), "without a trace of both"),
        (row("torch", "torch", 3, 5.0, 9.0, cpu_compute=1.0), "but not in the traces"),
    ],
)
def test_what_is_not_known_is_not_told(slower: Row, words: str) -> None:
    _, (why,) = step_by_backend(ranking(JAX, slower))
    assert words in why
    assert "+" not in why


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"intra_op_threads": 1}, "`cpu_compute`: it computes with 1 thread, `jax` with up to 2."),
        ({"compute_dtype": "float64"}, "`cpu_compute`: it computes in float64, `jax` in float32."),
        ({"jit_compile": True}, "No setting explains `cpu_dispatch` and `cpu_compute`."),
    ],
)
def test_a_setting_that_differs_is_a_reason_for_the_part_that_it_makes_longer(
    setting: dict[str, Any], reason: str
) -> None:
    changed = msgspec.structs.replace(TORCH, settings=msgspec.structs.replace(TORCH.settings, **setting))
    assert reason in step_by_backend(ranking(JAX, changed))[1][0]


def test_the_next_batch_is_part_of_what_lies_between_steps_under_jax() -> None:
    torch = row("torch", "torch", 1, 30.0, 0.3, cpu_compute=10.0, idle_input=13.0)
    slower = row("jax", "jax", 3, 75.0, 2.0, cpu_compute=10.0, idle_between_steps=30.0)
    (why,) = step_by_backend(ranking(torch, slower))[1]
    assert "`idle_between_steps`: Keras also fetches the next batch there under JAX: the trace" in why
    assert "Not known why" not in why


def test_a_difference_that_the_traces_hardly_show_is_not_explained_by_them() -> None:
    (why,) = step_by_backend(ranking(JAX, row("torch", "torch", 3, 50.0, 0.3, cpu_dispatch=6.0)))[1]
    assert "In the timed windows it is 48.00 ms longer: most of that is not in the traces." in why


def test_one_backend_has_no_such_part() -> None:
    assert step_by_backend(ranking(JAX, msgspec.structs.replace(JAX, strategy="numpy"))) == ([], [])
