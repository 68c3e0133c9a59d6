"""`python -m gpuprobe.cli` is the program `gpuprobe`."""

from gpuprobe.cli._app import main

main()
