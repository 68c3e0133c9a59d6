"""What is imported without collecting garbage is as old afterwards as collections would have made it."""

from __future__ import annotations

import gc

from gpuprobe.backends.importing import uncollected


def test_nothing_is_collected_within_and_all_is_old_afterwards() -> None:
    gc.enable()
    with uncollected():
        assert not gc.isenabled()
        made: list[list[int]] = [[]]
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    assert any(one is made for one in gc.get_objects(generation=2))


def test_where_nothing_was_collected_before_nothing_is_afterwards() -> None:
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
