"""Python imports this as it starts, where `gpuprobe watch --trace` put this folder at the front of PYTHONPATH.

It restores the environment, then attaches the Probe. It may run under any interpreter, so it imports only the standard
library until it knows that gpuprobe can be imported.
"""

import os
import sys


def _restore():
    """Remove gpuprobe's folder from the path, and its variables; return the recordings' folder and gpuprobe's home."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    sys.path[:] = [place for place in sys.path if os.path.abspath(place or ".") != here]  # noqa: PTH100
    before = os.environ.pop("GPUPROBE_PYTHONPATH", "")
    if before:
        os.environ["PYTHONPATH"] = before
    else:
        os.environ.pop("PYTHONPATH", None)
    return os.environ.pop("GPUPROBE_ATTACH", None), os.environ.pop("GPUPROBE_HOME", "")


def _run_users_own():
    """Import the user's own `sitecustomize`, which this one hides."""
    ours = sys.modules.pop("sitecustomize")
    try:
        import sitecustomize  # noqa: F401
    except ImportError as error:
        if error.name != "sitecustomize":
            raise
    finally:
        # Python is still importing this module, and looks its name up again afterwards.
        sys.modules.setdefault("sitecustomize", ours)


def _attach(folder, home):
    # At the end of the path, so that a gpuprobe installed for this interpreter comes first.
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
