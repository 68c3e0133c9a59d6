"""Runs that took turns: paired blocks into ratios that agree with each other, with intervals for one and for all."""
