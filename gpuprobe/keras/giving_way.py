"""Lets go of the profiler when the training itself wants it: a process has only one."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def stand_before(place: Any, name: str, give_way: Callable[[], None]) -> Callable[[], None]:
    """Call `give_way` before anybody's `place.name(...)` from now on; what this returns takes that back.

    The TensorBoard callback and most programs look the profiler's `start` up when they call it.
    """
    start = getattr(place, name)

    @functools.wraps(start)
    def start_after_us(*given: Any, **named: Any) -> Any:
        give_way()
        return start(*given, **named)

    def take_back() -> None:
        # Somebody may have put something of their own before it meanwhile; that stays.
        if getattr(place, name) is start_after_us:
            setattr(place, name, start)

    setattr(place, name, start_after_us)
    return take_back
