"""`python -m gpuprobe.cli` is the program `gpuprobe`."""

import sys

if not getattr(sys.flags, "safe_path", False):
    # Python put the current folder on the path; the program `gpuprobe` does not have it there.
    del sys.path[0]

from gpuprobe.cli._app import main

main()
