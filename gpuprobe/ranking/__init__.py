"""Ranks the runs of a study: rates with intervals, ties, gains over others, and whether the work was the same."""
