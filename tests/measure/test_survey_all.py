"""A workload under all backends: what feeds it where nobody asked for a feed, and why the others cannot."""

from __future__ import annotations

import pytest

from gpuprobe.errors import InputError
from gpuprobe.measure import survey_all as module
from gpuprobe.measure.survey import Question, Survey
from gpuprobe.measure.survey_all import survey_all
from gpuprobe.records import Request
from gpuprobe.strategies import registry
from gpuprobe.strategies.under import under

REQUEST = Request(rounds=1, budget_s=60, batch_size=0, seed=0, model="mine.py:workload")
BY_SAMPLE = "its map works on one sample at a time"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """Answer for a workload that a Python loop cannot feed, and that JAX cannot compute; return what was asked."""
    questions: list[Question] = []

    def answer(question: Question, limit_s: float) -> Survey:
        questions.append(question)
        if question.backend == "jax":
            raise InputError("computes with TensorFlow")
        feeds = {name: name if name in {"numpy", "tfdata"} else question.against[name] for name in question.strategies}
        cannot = {name: BY_SAMPLE for name, feed in feeds.items() if feed == "numpy"}
        return Survey(name="mine", data="arrays", samples=64, batch_size=8, skip=cannot)

    monkeypatch.setattr(module, "survey", answer)
    monkeypatch.setattr(registry, "is_installed", lambda name: name in {"tensorflow", "jax", "torch"})
    monkeypatch.setattr("gpuprobe.strategies.under.usual", lambda: "tensorflow")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    return questions


def test_another_feed_takes_the_place_of_one_that_nobody_asked_for(asked: list[Question]) -> None:
    strategies, _ = under("all", None)
    found = survey_all(REQUEST, strategies, (), None)
    assert [(one.name, one.against) for one in found.strategies[1:]] == [("jax", "tfdata"), ("torch", "tfdata")]
    assert found.strategies[0].name == "tfdata"
    assert "torch" not in found.survey.skip
    assert found.survey.skip["jax"] == "computes with TensorFlow"
    assert found.notes == (f"`tfdata` feeds this workload, since `numpy` cannot: {BY_SAMPLE}",)
    assert [question.backend for question in asked] == ["tensorflow", "jax", "torch"]


def test_a_feed_that_was_asked_for_stays(asked: list[Question]) -> None:
    strategies, _ = under("all", "numpy")
    found = survey_all(REQUEST, strategies, (), None)
    assert found.strategies == strategies
    assert found.survey.skip["numpy"] == found.survey.skip["torch"] == BY_SAMPLE
    assert found.notes == ()
