"""`python -m gpuprobe.cli` is the program `gpuprobe`."""

import sys

if not getattr(sys.flags, "safe_path", False):
    # The current folder, which the program `gpuprobe` does not have on its path.
    del sys.path[0]

from gpuprobe.cli._app import main

main()
