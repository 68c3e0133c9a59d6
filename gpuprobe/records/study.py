"""What a study asks for, of which machine and of which runs: `study.json` and `spec.json`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from gpuprobe.records.base import SCHEMA, Record
from gpuprobe.records.strategy import StrategyInfo


class Job(Record, frozen=True, kw_only=True):
    """The place of a process among those of one run, which train together or hand out batches.

    `workers` are the addresses of all that train, empty where one does by itself, and `index` is this one's place among
    them, from 0. `gpu` is the GPU of its host that it trains on, where there are some. `service` is the dispatcher of
    tf.data service that its batches come from, empty for none; who `dispatches` or `serves` trains nothing.
    """

    workers: tuple[str, ...] = ()
    index: int = 0
    gpu: int = 0
    service: str = ""
    role: Literal["trains", "dispatches", "serves"] = "trains"


class RunSpec(Record, frozen=True, kw_only=True):
    """All that one worker process is asked to do; the parent writes it before the process starts.

    The timed window ends after `steps` steps where given, else after `window_s` seconds, or earlier (but never
    before `window_min_s`) once the 95 % interval of its blocks is narrower than `precise_fraction` of the rate.
    `model` names the workload as `gpuprobe run --model` does; empty is the ResNet of `depth` on the images in `data`.
    `step` counts the runs of a strategy that is found by a search, from 1; 0 for any other. It applies the changes
    that it `combines`, in their order, to the strategy `start`; empty is the one it is compared with. Of any other
    strategy `start` is the one that it is compared with in this study.
    Keras trains with `backend`. `shared` is the file of the first weights that all runs of a study over several
    backends begin with, whose arrays come in one order too; empty where one seed gives all the same. `job` is the place
    of this process where several carry out the run. `task` is what TF_CONFIG calls the process of a training that was
    watched, as `worker1`, and `ranks` how many processes it says train together; empty and 0 where it says nothing.
    """

    strategy: str
    round: int
    seed: int
    batch_size: int
    depth: int = 20
    window_s: float = 10.0
    window_min_s: float = 3.0
    precise_fraction: float = 0.01
    steps: int | None = None
    trace_steps: int = 4
    data: str = ""
    model: str = ""
    combines: tuple[str, ...] = ()
    start: str = ""
    step: int = 0
    inject: tuple[str, ...] = ()
    backend: str = "tensorflow"
    shared: str = ""
    job: Job | None = None
    task: str = ""
    ranks: int = 0


class GpuInfo(Record, frozen=True, kw_only=True):
    """One NVIDIA GPU as the driver describes it; `facts` holds what else it told, by the names of `telemetry.facts`."""

    index: int
    name: str
    uuid: str = ""
    pci_bus_id: str = ""
    compute_capability: Annotated[str, msgspec.Meta(pattern=r"^(\d{1,3}\.\d{1,3})?$")] = ""
    memory_mib: float | None = None
    facts: dict[str, str | float | bool] = msgspec.field(default_factory=dict)


class Environment(Record, frozen=True, kw_only=True):
    """Where a study ran. `no_gpu` is the one-line reason where TensorFlow trained without a GPU."""

    system: str
    python: str
    cpu: str
    cores: int
    memory_mib: float
    versions: dict[str, str]
    gpus: tuple[GpuInfo, ...] = ()
    driver: str = ""
    cuda: str = ""
    no_gpu: str | None = None
    simulated: bool = False


class Request(Record, frozen=True, kw_only=True):
    """What the user asked `gpuprobe run` for; `--resume` goes on with it.

    `data` is `auto`, `cifar10`, `synthetic` or a path; `samples` caps the training set. Exactly `steps` or `epochs`
    are timed where given, else as long as the budget allows. A run that reports no progress for `limit_s` is
    ended. `model` is as in `RunSpec`; a `batch_size` of 0 asks for the workload's own. A search takes at most
    `search_steps` runs to try changes where given, else as many as promise a gain. Keras trains with `backend` under
    all strategies but those that name another. `devices` are the numbers of devices that are compared, empty where one
    trains, and `workers` are numbers of processes that train together; `weak` gives each a whole batch.
    `link_gb_per_s` is between them. So many `data_service` processes prepare batches for those that train. Where each
    worker has a host of its own, `worker_index` is that of this one.
    """

    rounds: int
    budget_s: float
    batch_size: int
    seed: int
    depth: int = 20
    model: str = ""
    data: str = "auto"
    samples: int | None = None
    steps: int | None = None
    epochs: int | None = None
    trace_steps: int = 4
    limit_s: float = 180.0
    quick: bool = False
    search_steps: int | None = None
    devices: tuple[int, ...] = ()
    weak: bool = False
    link_gb_per_s: float | None = None
    workers: tuple[int, ...] = ()
    data_service: int = 0
    worker_index: int | None = None
    inject: tuple[str, ...] = ()
    backend: str = "tensorflow"


class Study(Record, frozen=True, kw_only=True):
    """All runs of one `gpuprobe run`: what was asked, where, and in which order; `runs/` lies beside it.

    `epoch_samples` is 0 where an epoch has no end that is known; `counted` says that the last batch of an epoch was
    counted, which may hold fewer samples than the others. `changes` are those that a search may apply though no
    strategy of the study makes them.
    """

    schema: int = SCHEMA
    name: str
    created_ns: int
    command: str
    environment: Environment
    workload: str
    data_name: str
    data_source: str
    batch_size: int
    train_samples: int
    epoch_samples: int
    strategies: tuple[StrategyInfo, ...]
    request: Request
    changes: tuple[StrategyInfo, ...] = ()
    notes: tuple[str, ...] = ()
    counted: bool = True

    @property
    def epoch(self) -> str:
        """Say how many samples an epoch has."""
        return f"{'' if self.counted else 'up to '}{self.epoch_samples:,} samples"
