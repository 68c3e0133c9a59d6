"""Runs into a ranking: intervals, ties, gains against the one compared with, and whether the work was the same."""
