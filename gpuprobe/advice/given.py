"""The record of an advice: what to do, the code, and the replay's change that predicts its gain."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Given:
    """An advice: `fix` is a sentence or two, `code` a diff.

    `change` is the replay's change that does the same, empty where there is none. Only its gain is shown with the
    advice.
    """

    fix: str
    code: str = ""
    change: str = ""
