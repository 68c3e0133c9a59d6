"""What must hold of the figures of any diagnosis, whatever it was made of."""

from __future__ import annotations

from typing import Any

import pytest

SHARES = ("kernel_fraction", "exposed_copy_fraction", "sm_efficiency", "occupancy")


def check_figures(told: dict[str, Any]) -> None:
    """Check the JSON of a diagnosis: one primary finding, parts that add up to the step, shares within a whole."""
    assert [finding["primary"] for finding in told["findings"]].count(True) == 1
    for device in told["devices"]:
        assert sum(device["ledger_ms"].values()) == pytest.approx(device["step_ms"], rel=1e-9, abs=1e-3)
        assert min(device["ledger_ms"].values()) >= 0
        shares = [device[name] for name in SHARES]
        assert all(share is None or 0 <= share <= 1 + 1e-9 for share in shares)
    for signal in told["telemetry"] or ():
        if signal["name"].endswith(("idle_fraction", "throttled_heat_fraction")) and signal["value"] is not None:
            assert 0 <= signal["value"] <= 1 + 1e-9, signal
