"""The rules: evidence into findings, one file for each kind of evidence.

The docstring of a rule says what is so where it makes a finding.
"""
