"""Evidence into findings: one rule per function, each threshold named and commented."""
