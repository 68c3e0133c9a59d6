"""An advice as it is given: what to do, code that does it, and the change of a replay that tells what it gains."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """`fix` is a sentence or two, `code` a diff. `change` is what it does to a replay, empty where none does the same.

    Only the gain of that change may stand beside the advice.
    """

    fix: str
    code: str = ""
    change: str = ""
