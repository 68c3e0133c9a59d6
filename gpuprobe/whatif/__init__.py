"""Predicts the gain of a change: a traced step is replayed from its durations and dependencies, with and without it."""
