"""For custom training loops: `with gpuprobe.window("name") as probe:` and `@gpuprobe.steps("name")`."""

from __future__ import annotations

import functools
import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from gpuprobe.keras.options import ProbeOptions
from gpuprobe.keras.process_wall import process_wall
from gpuprobe.keras.watcher import Watcher
from gpuprobe.records import Given

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from gpuprobe.keras.session import ProbeSession
    from gpuprobe.records import State

NO_MARKER = nullcontext()
# What is recorded as the arguments of a custom loop, which has none of `fit`.
IN_A_LOOP = Given(own_loop=True)
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class Steps:
    """What `window` yields: call `step()` at the end of each step."""

    def __init__(self, watcher: Watcher, batch_size: int, model: Any = None) -> None:
        """Begin the first step; the settings of the training are read from `model`, a Keras model, if given."""
        self._watcher, self._batch_size, self._model = watcher, batch_size, model
        self._marker: AbstractContextManager[Any] = NO_MARKER
        self._began_ns = 0
        watcher.with_session(_begin_loop, None)
        self._begin_marker()

    def step(self) -> None:
        """End a step and begin the next one, whose input is part of it."""
        self._end_marker()
        session = self._watcher.session
        if session is None:
            return
        self._watcher.guarded_call(session.call_ended, self._began_ns)
        if session.calls == 1 and self._watcher.session is session:
            self._watcher.guarded_call(self._describe, session)
        self._begin_marker()

    def trace(self) -> None:
        """Trace the next steps."""
        self._watcher.with_session(lambda session: session.ask_for_trace(), None)

    def end(self, state: State = "done", message: str = "") -> None:
        """End the recording; what ran since the last `step()` is not counted."""
        self._end_marker()
        self._watcher.end(state, message)

    @property
    def figures(self) -> dict[str, float]:
        """Return `samples_per_s` and `gpu_utilization` (0 to 1) so far, as the callback adds them to Keras's logs."""
        return self._watcher.with_session(lambda session: session.figures, {})

    def _describe(self, session: ProbeSession) -> None:
        process_wall().record(lambda: process_wall().loop_warm(session))
        session.samples_per_call = self._batch_size
        session.save_arguments(IN_A_LOOP)
        has_model = self._model is not None
        session.save_settings(
            session.backend.settings(self._model, self._batch_size, "unknown") if has_model else None, 0
        )

    def _begin_marker(self) -> None:
        self._marker = self._watcher.marker()
        self._marker.__enter__()
        self._began_ns = time.time_ns()

    def _end_marker(self) -> None:
        self._marker.__exit__(None, None, None)
        self._marker = NO_MARKER


@contextmanager
def window(
    name: str,
    *,
    out: str | os.PathLike[str] = "reports",
    batch_size: int = 0,
    trace_steps: int = 5,
    trace_at: int | None = None,
    verbose: bool = True,
) -> Iterator[Steps]:
    """Watch a custom training loop: call `step()` on the yielded object at the end of each step.

    `batch_size` turns steps into samples per second. The other options are those of `Probe`. Exceptions of the block
    are passed on.
    """
    watcher = Watcher(ProbeOptions(name=name, out=out, trace_steps=trace_steps, trace_at=trace_at), verbose=verbose)
    watcher.begin()
    steps = Steps(watcher, batch_size)
    try:
        yield steps
    except BaseException as error:
        steps.end("interrupted", type(error).__name__)
        raise
    steps.end()


def steps(name: str, **options: Any) -> Callable[[Callable[Arguments, Answer]], Callable[Arguments, Answer]]:
    """Return a decorator for a step function; the recording begins with its first call and ends with the process.

    Each call is a step. Takes the options of `window`.
    """
    batch_size, verbose = options.pop("batch_size", 0), options.pop("verbose", True)
    watcher = Watcher(ProbeOptions(name=name, **options), verbose=verbose)

    def decorate(function: Callable[Arguments, Answer]) -> Callable[Arguments, Answer]:
        has_begun = False

        @functools.wraps(function)
        def timed_step(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
            nonlocal has_begun
            if not has_begun:
                has_begun = True
                watcher.begin()
                watcher.ends_at_exit()
                watcher.with_session(_begin_loop, None)
            answer = watcher.timed_call(function, *args, **kwargs)
            watcher.with_session(describe, None)
            return answer

        def describe(session: Any) -> None:
            if session.calls == 1:
                process_wall().record(lambda: process_wall().loop_warm(session))
                session.samples_per_call = batch_size
                session.save_arguments(IN_A_LOOP)
                session.save_settings(None, 0)

        return timed_step

    return decorate


def _begin_loop(session: ProbeSession) -> None:
    process_wall().record(process_wall().loop_began)
    session.training_began()
