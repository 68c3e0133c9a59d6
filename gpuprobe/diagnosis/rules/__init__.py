"""The rules: evidence into findings, one file for each kind of evidence."""
