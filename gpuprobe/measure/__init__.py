"""Measures a study: the parent process plans the runs and starts a fresh process for each, in which a worker trains."""
