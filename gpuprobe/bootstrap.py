"""The script that each child process of gpuprobe runs first: `bootstrap.py PARENT MODULE WORDS...` runs the module.

Python puts a script's folder first on its path, and with `-c` or `-m` the current folder, where a user's `random.py`
would hide the standard library's. That entry is removed before anything is imported.
"""

import sys

if __name__ == "__main__" and not getattr(sys.flags, "safe_path", False):
    del sys.path[0]


def main() -> None:
    """Let this process end with its parent (0: with none), and run the module as `python -m` would."""
    import atexit
    import gc
    import runpy
    from importlib.util import find_spec

    # At exit the interpreter would collect garbage, which is useless work: a second after TensorFlow.
    atexit.register(gc.freeze)
    parent, module = int(sys.argv[1]), sys.argv[2]
    if find_spec("gpuprobe") is None:
        _import_as_the_parent_did()
    if parent:
        from gpuprobe.lifeline import end_with

        end_with(parent)
    sys.argv[1:] = sys.argv[3:]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _import_as_the_parent_did() -> None:
    """Import gpuprobe from this file's folder, which may be only on the parent's path, and nothing else from there."""
    import importlib
    from pathlib import Path

    home = str(Path(__file__).resolve().parent.parent)
    sys.path.append(home)
    importlib.import_module("gpuprobe")
    sys.path.remove(home)


if __name__ == "__main__":
    main()
