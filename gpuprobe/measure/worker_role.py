"""The role of a worker process in its run: alone, with several devices, or one of several workers (worker only)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from gpuprobe.backends.backend import current
from gpuprobe.measure import cluster, devices
from gpuprobe.strategies import driving, registry

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path
    from typing import Any

    from gpuprobe.backends.backend import Backend
    from gpuprobe.measure.event_log import EventLog
    from gpuprobe.measure.leading_worker import LeaderBackend
    from gpuprobe.records import RunSpec
    from gpuprobe.strategies.driving import Feed
    from gpuprobe.strategies.plan import Plan


class WorkerRole:
    """The role of this process. Make it before the user's code makes a tensor: devices and a cluster must come first.

    `backend` is the one with which the run is measured. Of several workers the first one `leads`.
    """

    def __init__(self, spec: RunSpec, log: EventLog) -> None:
        self._job = spec.job if spec.job and spec.job.workers else None
        self._strategy: Any = None
        self._leading: LeaderBackend | None = None
        self._train_function: cluster.CustomTrainFunction | None = None
        self._log = log
        self._devices = devices.make_devices(registry.replicas(spec.strategy))
        self.backend: Backend = current()
        if self._job is not None:
            from gpuprobe.measure.leading_worker import LeaderBackend

            self.backend = self._leading = LeaderBackend()
            self._strategy = cluster.join(self._job, registry.plan_anywhere(spec).pack_kib)
            log.write("joined")
            # Random numbers of the user's code, such as the order of a data set, are the same in all workers.
            keras.utils.set_random_seed(spec.seed)

    @property
    def leads(self) -> bool:
        """Whether this process decides when the workers trace, pause and end."""
        return self._job is None or self._job.index == 0

    def scope(self, plan: Plan) -> AbstractContextManager[Any]:
        """Return the context in which a model is built and compiled."""
        return devices.scope(plan, self._devices) if self._strategy is None else cluster.scope(self._strategy, plan)

    def use_custom_train_function(self, model: keras.Model, plan: Plan) -> None:
        """Replace Keras's train function by that of a custom loop, if the plan has one."""
        if not plan.own_loop:
            return
        model.train_function = self._train_function = cluster.CustomTrainFunction(model, plan, self._strategy)
        if self._leading is not None:
            self._leading.lead(self._train_function)

    def follow(self, model: keras.Model, feed: Feed, trace_folder: Path) -> None:
        """Train with the others until the first worker ends."""
        from gpuprobe.measure.leading_worker import Follower

        assert self._train_function is not None
        Follower(self._train_function, trace_folder, self._log).attach(model)
        feed.train(model, 0, driving.ENDLESS, [])

    def end(self) -> None:
        """Have the other workers end, where this one leads."""
        if self._leading is not None:
            self._leading.end()
