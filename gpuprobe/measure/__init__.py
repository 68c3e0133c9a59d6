"""Measures a study: the parent process plans the runs, and starts a fresh worker process for each, which trains."""
