"""Specs for tests: small sessions of every kind."""

from __future__ import annotations

from hypothesis import strategies as st

from gpuprobe.simulate.spec import Card, Collective, Copies, Host, Input, Kernels, Recording, Spec

SMALL = Kernels(count=40, mean_us=100.0)


def floats(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Draw a session of a few steps with any mix of troubles."""
    gpus = draw(st.integers(1, 3))
    # CUDA's queue holds a thousand launches. In one of a few, the next call waits for each copy, as if it loaded code.
    depth = draw(st.integers(8, 64))
    return Spec(
        seed=draw(st.integers(0, 1000)),
        steps=draw(st.integers(2, 4)),
        card=Card(other_process_share=draw(st.sampled_from([0.0, 0.3])), clock_fraction=draw(floats(0.3, 1.0))),
        kernels=Kernels(
            count=draw(st.integers(1, 40)),
            mean_us=draw(floats(1.0, 300.0)),
            streams=draw(st.integers(1, 3)),
            fused=draw(st.integers(1, 5)),
        ),
        host=Host(
            queue_depth=depth,
            wddm_batch=draw(st.integers(1, min(depth, 8))),
            wddm_submit_us=draw(floats(0.0, 200.0)),
            dispatch_us=draw(floats(0.0, 80.0)),
            callback_ms=draw(floats(0.0, 10.0)),
            sync_every=draw(st.integers(0, 2)),
            syncs_in_step=draw(st.integers(0, 3)),
            steps_per_execution=draw(st.integers(1, 3)),
            eager=gpus == 1 and draw(st.booleans()),
            compile_every=draw(st.integers(0, 3)),
            compile_ms=draw(floats(0.0, 30.0)),
            allocations=draw(st.integers(0, 2)),
            allocation_us=draw(floats(0.0, 500.0)),
            # Each piece is an operation longer than one on the way to a launch, or longer than any pause at a pace.
            host_work_ms=draw(st.sampled_from([0.0, 0.0, 6.0, 66.0])),
            host_work_pieces=draw(st.integers(1, 3)),
            once_ms=draw(st.sampled_from([0.0, 0.0, 20.0])),
            once_kind=draw(st.sampled_from(["code_loading", "autotuning", "specialising"])),
        ),
        input=Input(
            feed=draw(st.sampled_from(["tf_data", "generator", "python", "device"])),
            map_ms=draw(floats(0.0, 20.0)),
            python_ms=draw(floats(0.0, 10.0)),
            prefetch=draw(st.integers(0, 3)),
            parallel_calls=draw(st.integers(1, 4)),
        ),
        copies=Copies(
            batch_mib=draw(floats(0.0, 20.0)),
            pinned=draw(st.booleans()),
            ahead=draw(st.booleans()),
            back_mib=draw(st.sampled_from([0.0, 4.0])),
            on_card_mib=draw(st.sampled_from([0.0, 64.0])),
        ),
        collective=Collective(
            gpus=gpus,
            # No exchange is shorter than a clock can tell: one of no length would be the next work, and not be seen.
            allreduce_ms=draw(st.one_of(st.just(0.0), floats(0.01, 5.0))),
            buckets=draw(st.integers(1, 3)),
            straggler=draw(st.integers(0, gpus - 1)),
            straggler_slowdown=draw(floats(1.0, 2.0)),
        ),
        recording=Recording(
            style=draw(st.sampled_from(["current", "2020"])), dropped_share=draw(st.sampled_from([0.0, 0.2]))
        ),
    )
