"""The place of this process in its run: by itself, with several devices, or as one of several workers (worker only)."""

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
    from gpuprobe.measure.events import EventLog
    from gpuprobe.measure.follow import Leading
    from gpuprobe.records import RunSpec
    from gpuprobe.strategies.driving import Feed
    from gpuprobe.strategies.plan import Plan


class Member:
    """Made before anything of the user's makes a tensor: then it is too late for devices, and for a cluster.

    `backend` is what the run is measured with. Of several workers the first `leads`.
    """

    def __init__(self, spec: RunSpec, log: EventLog) -> None:
        self._job = spec.job if spec.job and spec.job.workers else None
        self._strategy: Any = None
        self._leading: Leading | None = None
        self._step: cluster.OwnStep | None = None
        self._devices = devices.make_devices(registry.replicas(spec.strategy))
        self.backend: Backend = current()
        if self._job is not None:
            from gpuprobe.measure.follow import Leading

            self.backend = self._leading = Leading()
            self._strategy = cluster.join(self._job, registry.plan_anywhere(spec).pack_kib)
            log.write("joined")
            # What the user's code draws at random, as the order of a data set, is the same in all.
            keras.utils.set_random_seed(spec.seed)

    @property
    def leads(self) -> bool:
        """Whether it decides when the workers trace, pause and end."""
        return self._job is None or self._job.index == 0

    def scope(self, plan: Plan) -> AbstractContextManager[Any]:
        """Return what a model is built and compiled in."""
        return devices.scope(plan, self._devices) if self._strategy is None else cluster.scope(self._strategy, plan)

    def take_step(self, model: keras.Model, plan: Plan) -> None:
        """Put the step of a loop of one's own in the place of Keras's train function, where the plan has one."""
        if not plan.own_loop:
            return
        model.train_function = self._step = cluster.OwnStep(model, plan, self._strategy)
        if self._leading is not None:
            self._leading.lead(self._step)

    def follow(self, model: keras.Model, feed: Feed, trace_folder: Path) -> None:
        """Train along until the worker that leads ends."""
        from gpuprobe.measure.follow import Follower

        assert self._step is not None
        Follower(self._step, trace_folder).attach(model)
        feed.train(model, 0, driving.ENDLESS, [])

    def end(self) -> None:
        """Let those end that follow."""
        if self._leading is not None:
            self._leading.end()
