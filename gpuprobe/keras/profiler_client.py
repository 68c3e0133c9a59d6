"""Asks a profiler server for a trace, in a process of its own, since TensorFlow's client may hang and prints logs.

`python -m gpuprobe.keras.profiler_client SERVICE FOLDER MILLISECONDS` prints the reason on stdout where it got no
trace, and nothing where it got one.
"""

from __future__ import annotations

import os
import sys

from gpuprobe.backends.importing import uncollected


def main(service: str, folder: str, milliseconds: int) -> None:
    """Trace into the folder; the client's own output goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    with uncollected():
        import tensorflow as tf

    try:
        tf.profiler.experimental.client.trace(service, folder, milliseconds, num_tracing_attempts=1)
    except (tf.errors.OpError, RuntimeError) as error:
        lines = str(error).strip().splitlines()
        os.write(answer, (lines[0] if lines else type(error).__name__).encode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
