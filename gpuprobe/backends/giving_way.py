"""Lets go of the profiler when the training itself wants it: a process has only one."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def stand_before(place: Any, name: str, give_way: Callable[[], None]) -> Callable[[], None]:
    """Call `give_way` before anybody's `place.name(...)` from now on; what this returns takes that back.

    The TensorBoard callback and most programs look the profiler's `start` up there when they call it; the context
    managers of TensorFlow and JAX look it up in the module in which it is defined.
    """
    start = getattr(place, name)

    @functools.wraps(start)
    def start_after_us(*given: Any, **named: Any) -> Any:
        give_way()
        return start(*given, **named)

    places = [one for one in (place, sys.modules.get(start.__module__)) if getattr(one, name, None) is start]

    def take_back() -> None:
        for one in places:
            # Somebody may have put something of their own before it meanwhile; that stays.
            if getattr(one, name) is start_after_us:
                setattr(one, name, start)

    for one in places:
        setattr(one, name, start_after_us)
    return take_back
