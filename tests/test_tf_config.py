"""TF_CONFIG names a process as people call it, or says nothing."""

from __future__ import annotations

import json

import pytest

from gpuprobe.tf_config import cluster, own_tasks, parse, training


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "name"),
    [
        ({"worker": ["a:1", "b:1"]}, "worker", 1, "worker1"),
        ({"worker": ["a:1"]}, "worker", 0, "worker0"),
        ({"chief": ["a:1"], "worker": ["b:1"]}, "chief", 0, "chief"),
        ({"ps": ["a:1", "b:1"], "worker": ["c:1"]}, "ps", 1, "ps1"),
        ({"worker": ["a:1"]}, "evaluator", 0, "evaluator"),
    ],
)
def test_a_task_is_called_by_its_kind_and_its_number(
    cluster: dict[str, object], kind: str, index: int, name: str
) -> None:
    told = json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})
    assert own_tasks({"TF_CONFIG": told}).name == name


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cluster": {"worker": []}}', '{"cluster": 3, "task": {}}'])
def test_what_cannot_be_read_names_nobody(text: str) -> None:
    for nothing in (own_tasks({"TF_CONFIG": text}), own_tasks({})):
        assert (nothing.name, nothing.ranks) == ("", 0)


@pytest.mark.parametrize(("kind", "index", "rank"), [("chief", 0, 0), ("worker", 1, 2), ("ps", 0, None)])
def test_the_chief_is_the_first_of_those_that_train(kind: str, index: int, rank: int | None) -> None:
    cluster_ = {"worker": ["b:1", "c:1"], "chief": ["a:1"], "ps": ["d:1"]}
    told = json.dumps({"cluster": cluster_, "task": {"type": kind, "index": index}})
    assert (parse(told).rank, parse(told).ranks) == (rank, 3)
    assert training(cluster(told)) == ("a:1", "b:1", "c:1")
