"""Records from before something was told are shown as those that tell it."""

from __future__ import annotations

from msgspec.structs import replace

from gpuprobe.compare.differences import ledger
from gpuprobe.compare.records import Ledger, Measured
from gpuprobe.ledger.records import DeviceBreakdown
from gpuprobe.ranking.load import load
from gpuprobe.report import breakdown
from gpuprobe.report.write import rendered
from tests.helpers.program import ROOT


def without(device: DeviceBreakdown, category: str) -> DeviceBreakdown:
    return replace(device, ledger_ms={name: ms for name, ms in device.ledger_ms.items() if name != category})


def test_the_example_is_read_and_shown() -> None:
    assert "## Ranking" in rendered(load(ROOT / "reports" / "example")).text


def test_a_category_that_a_record_is_too_old_to_tell_took_no_time() -> None:
    rows = load(ROOT / "reports" / "example").ranking.rows
    device = next(row.breakdown for row in rows if row.breakdown is not None)
    shown = breakdown.category_lines(device)
    named = {line.category for line in shown}
    unused = next(name for name in device.ledger_ms if name not in named)
    assert breakdown.category_lines(without(device, unused)) == shown
    assert unused not in {line.category for line in breakdown.category_lines(without(device, unused))}
    new, old = (Measured(strategy="numpy", rates={}, breakdown=one) for one in (device, without(device, named.pop())))
    there, back = ledger(new, old), ledger(old, new)
    assert isinstance(there, Ledger)
    assert isinstance(back, Ledger)
    assert [change.change_ms for change in there.changes] == [-change.change_ms for change in back.changes]
    assert any(change.change_ms for change in there.changes)
