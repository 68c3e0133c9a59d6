"""The checks, one function each, in files by theme; `ORDER` says where a file's checks stand on the screen."""
