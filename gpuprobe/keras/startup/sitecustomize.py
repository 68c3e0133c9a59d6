"""Python imports this at its start where `gpuprobe watch --trace` put its folder in front of PYTHONPATH.

It leaves everything as it would be without it, then attaches. It may run under any interpreter, so it imports nothing
but the standard library before it knows that gpuprobe is there.
"""

import os
import sys


def _restore():
    """Take our folder and our variables out again; return what they said."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]  # noqa: PTH100
    before = os.environ.pop("GPUPROBE_PYTHONPATH", "")
    if before:
        os.environ["PYTHONPATH"] = before
    else:
        os.environ.pop("PYTHONPATH", None)
    return os.environ.pop("GPUPROBE_ATTACH", None), os.environ.pop("GPUPROBE_HOME", "")


def _run_users_own():
    """Import the `sitecustomize` that Python would have found without ours."""
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        # Python, which is importing us, looks for the name again afterwards.
        sys.modules.setdefault("sitecustomize", ours)


def _attach(folder, home):
    # At the end of the path: where the interpreter has a gpuprobe of its own, that one counts.
    sys.path.append(home)
    try:
        from gpuprobe.keras.attach import attach
    except Exception as error:  # noqa: BLE001
        sys.stderr.write("gpuprobe: cannot attach under this Python (%s); the training goes on\n" % error)  # noqa: UP031
        return
    finally:
        sys.path.remove(home)
    attach(folder)


_folder, _home = _restore()
_run_users_own()
if _folder:
    _attach(_folder, _home)
