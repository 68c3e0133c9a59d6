"""The step-time breakdown: where each microsecond of every step went."""
