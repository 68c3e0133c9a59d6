"""Releases the profiler when the training starts it itself: a process has only one."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def stand_before(place: Any, name: str, give_way: Callable[[], None]) -> Callable[[], None]:
    """Have `give_way` called before any call of `place.name(...)`; return a function that undoes this.

    `place` is the module through which the profiler's `start` is called: for the TensorBoard callback and most programs
    the public one, for the context managers of TensorFlow and JAX the one that defines it.
    """
    start = getattr(place, name)

    @functools.wraps(start)
    def start_after_us(*args: Any, **kwargs: Any) -> Any:
        give_way()
        return start(*args, **kwargs)

    places = [one for one in (place, sys.modules.get(start.__module__)) if getattr(one, name, None) is start]

    def take_back() -> None:
        for one in places:
            # Somebody else may have replaced the function meanwhile: theirs stays.
            if getattr(one, name) is start_after_us:
                setattr(one, name, start)

    for one in places:
        setattr(one, name, start_after_us)
    return take_back
