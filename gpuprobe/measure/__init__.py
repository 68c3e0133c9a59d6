"""The measuring: a parent that plans and starts one fresh process per run, and the worker that trains in it."""
