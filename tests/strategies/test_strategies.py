"""The catalogue: its names are a contract, and each strategy changes one thing of another."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from gpuprobe.backends.known import is_installed
from gpuprobe.errors import UsageError
from gpuprobe.strategies import registry
from gpuprobe.strategies.plan import AUTOTUNE, Machine

NAMES = [
    "python_feed",
    "generator",
    "numpy",
    "grain",
    "data_loader",
    "tfdata",
    "tfdata_prefetch",
    "tfdata_cache_prefetch",
    "device_resident",
    "mixed_precision",
    "xla",
    "steps_per_execution",
    "large_batch",
    "tuned",
    "jax",
    "torch",
]


def machine(capability: float | None = None, *, bfloat16: bool = False, largest: int = 100_000) -> Machine:
    return Machine(compute_capability=capability, cpu_has_bfloat16=bfloat16, largest_batch=lambda: largest)


def test_names_are_the_contract() -> None:
    assert list(registry.strategies()) == NAMES
    assert all(strategy.sentence for strategy in registry.strategies().values())


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"python_feed", "tuned"}])
def test_each_changes_one_thing(name: str) -> None:
    strategy = registry.strategies()[name]
    assert strategy.against is not None
    own, base = (asdict(registry.plan(which, 32, machine(8.0))) for which in (name, strategy.against))
    changed = {field for field in own if own[field] != base[field]} - {"notes"}
    # The feed that lies on the device needs no cache of the host; that is one thing, seen in two fields.
    # Under JAX Keras compiles each step, and has done all along.
    whole = {"device_resident": {"feed", "cache"}, "jax": {"backend", "jit_compile"}}
    assert changed == whole.get(name, changed)
    assert len(changed - {"cache"}) == 1 or name in {"tfdata_cache_prefetch", "jax"}


def test_mixed_precision_knows_the_hardware() -> None:
    def plan(of: Machine) -> tuple[str, bool]:
        found = registry.plan("mixed_precision", 32, of)
        return found.dtype_policy, any("no benefit" in note for note in found.notes)

    assert plan(machine(7.0)) == ("mixed_float16", False)
    assert plan(machine(6.1)) == ("mixed_float16", True)
    assert plan(machine()) == ("mixed_bfloat16", True)
    assert plan(machine(bfloat16=True)) == ("mixed_bfloat16", False)


@pytest.mark.parametrize(("largest", "batch"), [(10_000, 256), (200, 128), (40, 32)])
def test_large_batch_fits_the_memory(largest: int, batch: int) -> None:
    found = registry.plan("large_batch", 32, machine(6.1, largest=largest))
    assert found.batch_size == batch
    assert bool(found.notes) == (batch == 32)


def test_tuned_combines_what_it_is_told() -> None:
    found = registry.plan("tuned", 32, machine(8.0), ("xla", "mixed_precision"))
    assert (found.jit_compile, found.dtype_policy, found.feed) == (True, "mixed_float16", "slices")
    fed = registry.plan("tuned", 32, machine(8.0), ("tfdata_parallel=4", "tfdata_prefetch=2", "steps_per_execution=16"))
    assert (fed.feed, fed.parallel_calls, fed.prefetch, fed.cache) == ("pipeline", 4, 2, False)
    assert fed.steps_per_execution == 16
    cached = registry.plan("tuned", 32, machine(8.0), ("xla", "tfdata_cache_prefetch"), "numpy")
    assert (cached.jit_compile, cached.feed, cached.prefetch, cached.cache) == (True, "pipeline", AUTOTUNE, True)
    assert registry.plan("tuned", 32, machine(8.0), (), "xla") == registry.plan("xla", 32, machine(8.0))


def test_select() -> None:
    # Those of one backend; which compares backends is asked for by its name.
    missed = {name for name, package in (("grain", "grain"), ("data_loader", "torch")) if not is_installed(package)}
    assert [strategy.name for strategy in registry.select("all")] == [one for one in NAMES[:-2] if one not in missed]
    assert [strategy.name for strategy in registry.select(" xla, numpy")] == ["numpy", "xla"]
    with pytest.raises(UsageError, match="did you mean tfdata_prefetch"):
        registry.select("tfdata_prefech")
    with pytest.raises(UsageError, match="gpuprobe list"):
        registry.select("zzz")
    with pytest.raises(UsageError, match="at least one"):
        registry.select(" ,")
