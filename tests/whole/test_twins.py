"""Small trainings with one flaw, each beside its twin without it: recorded on a processor, three or four steps each.

What was fixed must not be found again, and the advice on the flaw must be what the twin does.
"""

from __future__ import annotations

import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from gpuprobe.diagnosis.case import Case
from gpuprobe.diagnosis.diagnose import diagnose
from gpuprobe.diagnosis.records import Finding
from gpuprobe.ledger.breakdown import break_down, breakdown_of
from gpuprobe.records import Signal
from gpuprobe.thresholds import fixed
from gpuprobe.traces.read import read
from gpuprobe.whatif.build import build
from gpuprobe.whatif.graph import Work
from gpuprobe.whatif.input_changes import without_lock
from gpuprobe.whatif.predict import predict
from gpuprobe.whatif.run_facts import Known
from tests.helpers.program import ROOT

TWINS = ROOT / "tests" / "recorded" / "twins"
# The flaw and its twin, the verdict on the flaw, and what its advice has to say.
PAIRS = [
    ("serial_loop", "vectorised", ("serial_loop", None), "vectorized_map", ""),
    ("retraced", "traced_once", ("eager_or_retracing", None), "tf.constant(weight)", "run_eagerly"),
    ("embedding_adam", "embedding_sgd", ("dense_update", None), "keras.optimizers.SGD", "jit_compile"),
    ("parsed_singly", "parsed_at_once", ("input_bound", "slow_map"), "tf.io.parse_example", "num_parallel_calls"),
    ("python_map", "map_of_batch", ("input_bound", "slow_map"), "interpreter's lock", "num_parallel_calls"),
]


def verdict(name: str, folder: Path) -> Finding:
    """Diagnose a twin as `gpuprobe diagnose` does; its batch is what its training's settings told."""
    path = folder / f"{name}.xplane.pb"
    path.write_bytes(lzma.decompress((TWINS / f"{path.name}.xz").read_bytes()))
    made = break_down(read(path))
    batch = Signal(name="batch_size", unit="samples", source="Keras, read back", value=32.0)
    found = diagnose(Case(made.breakdown, predict(made), settings=(batch,))).primary
    assert found is not None
    return found


@pytest.mark.parametrize(("flaw", "twin", "cause", "said", "unsaid"), PAIRS, ids=[pair[0] for pair in PAIRS])
def test_a_flaw_is_found_and_its_twin_is_not(
    flaw: str, twin: str, cause: tuple[str, str | None], said: str, unsaid: str, tmp_path: Path
) -> None:
    flawed, fixed = verdict(flaw, tmp_path), verdict(twin, tmp_path)
    assert (flawed.cause, flawed.stage, flawed.confidence) == (*cause, "high")
    # A stage alone would be no other verdict.
    assert (fixed.cause, fixed.confidence) != (flawed.cause, flawed.confidence)
    assert (fixed.cause, fixed.stage) != cause
    assert said in flawed.fix + flawed.code
    assert not unsaid or unsaid not in flawed.fix + flawed.code


@pytest.mark.parametrize("name", ["parsed_singly", "python_map"])
def test_a_step_that_waits_for_a_busy_pipeline_is_replayed_as_long_as_it_took(name: str, tmp_path: Path) -> None:
    """A batch in the making when the trace began, and the maker's pauses while none lies ready, belong to making it."""
    path = tmp_path / f"{name}.xplane.pb"
    path.write_bytes(lzma.decompress((TWINS / f"{path.name}.xz").read_bytes()))
    replay = predict(break_down(read(path)))
    assert replay.error_fraction == pytest.approx(0, abs=0.01)
    assert replay.refused is None


def test_a_map_that_draws_at_random_is_never_kept(tmp_path: Path) -> None:
    found = verdict("random_map", tmp_path)
    assert (found.cause, found.stage) == ("input_bound", "slow_map")
    assert "would freeze" in found.fix
    assert found.code.index("cache()") < found.code.rindex("augment")


def test_the_update_of_an_embedding_gains_as_much_as_its_twin_shows(tmp_path: Path) -> None:
    flawed, _ = verdict("embedding_adam", tmp_path), verdict("embedding_sgd", tmp_path)
    gain, steps = flawed.predicted_gain, [step_ms(name, tmp_path) for name in ("embedding_adam", "embedding_sgd")]
    assert gain is not None
    assert gain.low is not None
    assert gain.high is not None
    assert gain.low <= steps[0] / steps[1] <= gain.high


@pytest.mark.parametrize(("python", "left"), [(0.0, 1.0), (1.0, 0.5 / (1 + fixed.LEFT_APART))])
def test_python_in_the_pipeline_may_hold_the_training_up_by_its_lock(
    python: float, left: float, tmp_path: Path
) -> None:
    verdict("map_of_batch", tmp_path)
    broken = break_down(read(tmp_path / "map_of_batch.xplane.pb"))
    graph = build(broken, broken.breakdown.devices[0])
    assert graph is not None
    shared = replace(graph, feed=replace(graph.feed, unknown=python, map_threads=1))
    freed = without_lock(shared, computing=0.2)
    for work, kept in ((Work.BETWEEN, left), (Work.DISPATCH, 0.2 + 0.8 * left), (Work.PRODUCE, 1.0)):
        assert freed.us[freed.does(work)].sum() == pytest.approx(kept * graph.us[graph.does(work)].sum())


def test_retracing_costs_all_that_the_traced_steps_do_not_show(tmp_path: Path) -> None:
    verdict("retraced", tmp_path)
    broken = break_down(read(tmp_path / "retraced.xplane.pb"))
    steps = {factor: factor * broken.breakdown.devices[0].step_ms for factor in (1.0, 3.0)}
    made = {factor: predict(broken, Known(untraced_step_ms=ms)) for factor, ms in steps.items()}
    gains = {factor: replay.of("compiling_removed") for factor, replay in made.items()}
    assert gains[1.0] is not None
    assert gains[3.0] is not None
    # In a training of three times as long steps more of them are compiled: what is left is as long as before.
    assert gains[3.0].step_ms == pytest.approx(gains[1.0].step_ms, rel=0.05)
    assert gains[3.0].gain.ratio == pytest.approx(3 * gains[1.0].gain.ratio, rel=0.05)
    assert gains[3.0].gain.low is not None
    assert gains[3.0].gain.low < gains[1.0].gain.ratio
    others = made[3.0].of("callbacks_removed")
    assert others is not None
    assert others.gain.ratio < 1.1


def step_ms(name: str, folder: Path) -> float:
    """Return the traced step of a twin that was diagnosed before."""
    (device,) = breakdown_of(read(folder / f"{name}.xplane.pb")).devices
    return device.step_ms
