"""The catalogue of causes: complete, closed, and in step with the rules, the thresholds and the changes of a replay."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import get_args

import pytest

from gpuprobe.diagnosis.causes import BY_SHARE, CATALOGUE, CAUSES, STAGES, Cause, CauseId, cause_named, same_family
from gpuprobe.diagnosis.rules import card_and_settings, differential, gpu_state, telemetry, trace, whole_run
from gpuprobe.ledger.categories import GPU_CATEGORIES
from gpuprobe.records import Evidence
from gpuprobe.report.explain import explained
from gpuprobe.thresholds import DEFAULTS, Thresholds, source
from gpuprobe.whatif.job_changes import job_changes
from gpuprobe.whatif.predict import usual_changes
from gpuprobe.whatif.run_facts import Known
from tests.helpers.program import Cli

CHANGES = [*(change.id for change in usual_changes(Known())), *(change.id for change in job_changes())]
NAMED = pytest.mark.parametrize("cause", CATALOGUE, ids=lambda cause: cause.id)


def test_every_id_has_one_record() -> None:
    assert sorted(cause.id for cause in CATALOGUE) == sorted(get_args(CauseId))
    assert len(CAUSES) == len(CATALOGUE)
    assert cause_named("a_cause_of_tomorrow") is None


@NAMED
def test_a_record_says_all_that_explains_it(cause: Cause) -> None:
    for name in ("words", "signature", "fix", "mistaken_for"):
        assert getattr(cause, name).strip(), name
    assert cause.evidence
    assert set(cause.decided_by) <= set(Thresholds.__struct_fields__)
    assert cause.id not in (*cause.roots, *cause.symptoms)


@NAMED
def test_what_cures_it_is_a_change_that_is_replayed(cause: Cause) -> None:
    for cure in (*cause.cures, *(cure for stage in STAGES.values() for cure in stage.cures)):
        assert any(change == cure or change.startswith(f"{cure}_") for change in CHANGES), cure
    assert cause.cures or not cause.weighed, "only a change that is replayed can tell what it costs"


@NAMED
def test_a_rule_speaks_of_it(cause: Cause) -> None:
    if cause.id == "unattributed":
        return
    rooms = (trace, differential, telemetry, card_and_settings, gpu_state, whole_run)
    undecided = {reason.cause for room in rooms for reason in room.decide(Evidence())[1]}
    assert cause.id in undecided


def test_the_parts_of_a_step_are_of_its_ledger() -> None:
    across = {"share.launch", "share.copy", "share.overhead", "share.dispatch", "share.exchange"}
    for cause in BY_SHARE:
        assert cause.shown.share in across | {f"share.{name}" for name in GPU_CATEGORIES}
        assert 0 < cause.threshold(DEFAULTS) < 1


def test_a_family_holds_both_ways() -> None:
    for one in CATALOGUE:
        for other in CATALOGUE:
            assert same_family(one.id, other.id) == same_family(other.id, one.id)
    assert same_family("launch_bound", "batch_too_small")
    assert not same_family("launch_bound", "sync_every_step")
    assert not same_family("copy_bound", "collective_bound"), "no family is none that two share"


def test_no_root_is_its_own_symptom_in_turn() -> None:
    records: dict[str, Cause] = {cause.id: cause for cause in CATALOGUE}
    for cause in CATALOGUE:
        assert {*cause.roots, *cause.symptoms} <= {*records}
        for root in cause.roots:
            assert cause.id not in records[root].roots


def test_behind_a_cause_there_is_an_end() -> None:
    def depth(cause: Cause) -> int:
        return 1 + max((depth(one) for one in CATALOGUE if one.id in cause.roots), default=0)

    assert max(map(depth, CATALOGUE)) <= len(CATALOGUE)


def test_every_field_of_a_record_is_used_by_one() -> None:
    for field in fields(CATALOGUE[0]):
        assert any(getattr(cause, field.name) for cause in CATALOGUE), field.name


@NAMED
def test_explain_says_what_decides_it_with_its_source(cause: Cause) -> None:
    told = dict(explained(cause))
    for name in cause.decided_by:
        assert f"{name} = {getattr(DEFAULTS, name):g}: {source(name)}" in told["Decided by"]
    assert cause.words in told["Cause"]
    assert all(signal in told["In --json"] for signal in cause.evidence)
    assert not re.search(r"[a-z]_[a-z]|\w\.\w", re.sub(r"`[^`]*`|what \w+ gained", "", told["Evidence"])), "a raw name"
    assert told["Fix"]
    assert cause.mistaken_for in told["Mistaken for"]


def test_the_commands_explain_and_list_causes(cli: Cli) -> None:
    told = cli("explain", "launch_bound").stdout
    assert told.startswith(
        "Cause         launch_bound: the host starts the kernels more slowly than the GPU runs them."
    )
    assert "+ model.compile(optimizer, loss, jit_compile=True, steps_per_execution=8)" in told
    listed = cli("list", "--causes").stdout
    assert all(f"\n{cause.id}  " in listed for cause in CATALOGUE)


def test_an_unknown_cause_is_one_line_with_the_near_ones(cli: Cli) -> None:
    near = cli("explain", "lunch_bound")
    assert (near.returncode, near.stdout) == (2, "")
    assert near.stderr == "gpuprobe: no cause is called 'lunch_bound'; did you mean launch_bound?\n"
    far = cli("explain", "xyz")
    assert far.stderr == "gpuprobe: no cause is called 'xyz'; gpuprobe list --causes names all\n"
    both = cli("list", "--causes", "--models")
    assert (both.returncode, both.stderr.count("\n")) == (2, 1)
