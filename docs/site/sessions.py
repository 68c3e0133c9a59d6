"""A simulated session for each cause that a step shows: the picture on its page is the breakdown of that session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpuprobe.simulate.spec import Collective, Copies, Host, Input, Kernels, Spec

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import CauseId

_WAITED_FOR = Host(sync_every=1)
SESSIONS: dict[CauseId, Spec] = {
    "input_bound": Spec(input=Input(map_ms=120.0, parallel_calls=1, prefetch=2)),
    "copy_bound": Spec(kernels=Kernels(count=40, mean_us=500.0), copies=Copies(batch_mib=400.0)),
    "launch_bound": Spec(kernels=Kernels(count=600, mean_us=20.0), host=Host(dispatch_us=100.0)),
    "eager_or_retracing": Spec(kernels=Kernels(count=60, mean_us=100.0), host=Host(eager=True, eager_op_us=800.0)),
    "recompiling": Spec(
        kernels=Kernels(count=40, mean_us=500.0), host=Host(compile_every=1, compile_ms=200.0, sync_every=1)
    ),
    "sync_every_step": Spec(kernels=Kernels(count=40, mean_us=300.0), host=Host(syncs_in_step=20, sync_wake_us=1500.0)),
    "host_between_steps": Spec(kernels=Kernels(count=40, mean_us=500.0), host=Host(callback_ms=40.0, sync_every=1)),
    "host_work": Spec(
        kernels=Kernels(count=40, mean_us=500.0), host=Host(host_work_ms=60.0, host_work_pieces=2, sync_every=1)
    ),
    "collective_bound": Spec(
        kernels=Kernels(count=40, mean_us=500.0), collective=Collective(gpus=2, allreduce_ms=25.0), host=_WAITED_FOR
    ),
    "straggler": Spec(
        kernels=Kernels(count=40, mean_us=500.0),
        collective=Collective(gpus=2, allreduce_ms=1.0, straggler=1, straggler_slowdown=2.0),
    ),
    "gpu_memory_tight": Spec(kernels=Kernels(count=40, mean_us=300.0), host=Host(allocations=12, allocation_us=3000.0)),
    "compute_bound": Spec(kernels=Kernels(count=40, mean_us=500.0, mflop_per_sample=200.0)),
}
