"""Simulated trainings (sessions) whose true bottleneck is known; everything made here says SIMULATED."""
