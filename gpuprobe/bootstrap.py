"""The script that each child process of ours runs first: `bootstrap.py PARENT MODULE WORDS...` runs the module.

Python puts a script's own folder first on its path, and with `-c` or `-m` the current one, where a `random.py` of the
user's would stand in for the standard library's. That place is taken off before anything is imported.
"""

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]


def main() -> None:
    """Bind this process to its parent (0: to none), and run the module as `python -m` would."""
    import runpy
    from importlib.util import find_spec

    parent, module = int(sys.argv[1]), sys.argv[2]
    if find_spec("gpuprobe") is None:
        _import_as_the_parent_did()
    if parent:
        from gpuprobe.lifeline import end_with

        end_with(parent)
    sys.argv[1:] = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _import_as_the_parent_did() -> None:
    """Import gpuprobe from where this file lies, which is on the parent's path alone, and nothing else from there."""
    import importlib
    from pathlib import Path

    home = str(Path(__file__).resolve().parent.parent)
    sys.path.append(home)
    importlib.import_module("gpuprobe")
    sys.path.remove(home)


if __name__ == "__main__":
    main()
