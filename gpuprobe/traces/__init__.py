"""Readers: a profiler's trace, XPlane or Chrome-trace JSON, becomes one `Timeline` of columns."""
