"""Which change to measure next: the search that finds the `tuned` strategy."""
