"""The checks, one function each, in a file for each subject; `ORDER` is the place of a file's checks in the output."""
