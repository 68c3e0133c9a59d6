"""Predicts the step time on a card or on this machine by a model: roofline, launches and host time."""
