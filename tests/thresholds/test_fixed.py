"""Every number that decides stands among the thresholds, where `--list-thresholds` shows it with its source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from gpuprobe import thresholds, units
from gpuprobe.thresholds import fixed
from tests.helpers.program import ROOT

# The rooms that judge; those to their right show what was judged.
JUDGING = ("ledger", "evidence", "advice", "diagnosis", "whatif", "ranking", "paired", "search", "watch")
# What is compared there and decides nothing that is said: how much of what was found is shown, how long something may
# take, and codes.
NO_VERDICT = {
    "advice/between.py": {"BAR"},
    "diagnosis/traced.py": {"READILY_REPLAYED"},
    "evidence/operations.py": {"WORTH_NAMING"},
    "ledger/gaps.py": {"WORTH_NAMING"},
    "ledger/launches.py": {"NO_CALL"},
    "ledger/recurrent.py": {"GATES"},
    "whatif/replay.py": {"FEWEST_PASSES", "SHORT_STRETCH"},
}
FILES = sorted(path for room in JUDGING for path in (ROOT / "gpuprobe" / room).rglob("*.py"))


def numbers(tree: ast.Module) -> set[str]:
    """Return the names that a module gives to numbers which stand in it, alone or in a row."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Assign):
            (target,), value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            target, value = node.target, node.value
        else:
            continue
        in_a_row = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
        pairs = zip(target.elts, value.elts, strict=True) if in_a_row else [(target, value)]  # type: ignore[attr-defined]
        found |= {name.id for name, one in pairs if isinstance(name, ast.Name) and _is_number(one)}
    return found


def _is_number(node: ast.expr) -> bool:
    """Whether a number stands there; what is made of another name than a unit's stands elsewhere."""
    try:
        value = eval(compile(ast.Expression(node), "", "eval"), {"__builtins__": {}, "int": int, **vars(units)})
    except (NameError, TypeError, SyntaxError):
        return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def compared(tree: ast.Module) -> set[str]:
    """Return every name that is part of a comparison."""
    comparisons = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    return {name.id for one in comparisons for name in ast.walk(one) if isinstance(name, ast.Name)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_number_decides_that_is_no_threshold(path: Path) -> None:
    tree = ast.parse(path.read_text())
    known = NO_VERDICT.get(str(path.relative_to(ROOT / "gpuprobe")), set())
    assert numbers(tree) & compared(tree) == known, "it belongs into gpuprobe/thresholds/"


@pytest.mark.parametrize("line", ["HALF = 0.5", "MOST, HALF = 2, 0.5", "HALF: float = 5 / 10", "HALF = int(PS_PER_MS)"])
def test_such_a_number_is_found(line: str) -> None:
    tree = ast.parse(f"{line}\nif share >= 2 * HALF:\n    pass\n")
    assert "HALF" in numbers(tree) & compared(tree)


def test_a_number_made_of_a_threshold_is_none_of_its_own() -> None:
    assert not numbers(ast.parse("HALF_PS = int(fixed.HALF_MS * PS_PER_MS)"))


def test_all_that_is_fixed_is_listed_with_its_source() -> None:
    names = [name for name in vars(fixed) if name.isupper()]
    listed = thresholds.listing()
    assert len(names) == len(thresholds.fixed_lines()) > 80
    for name in names:
        assert f"\n# {name.lower()} = {getattr(fixed, name)}: " in listed


def test_what_is_fixed_and_what_is_not_have_names_apart() -> None:
    assert not {name.lower() for name in vars(fixed)} & set(thresholds.Thresholds.__struct_fields__)


def test_the_listing_is_a_file_that_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(thresholds.listing())
    assert thresholds.read(tmp_path / "mine.toml") == thresholds.DEFAULTS
