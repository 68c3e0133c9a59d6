"""The account of every step: where each microsecond of its wall time went."""
