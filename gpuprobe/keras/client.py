"""Asks a profiler server for a trace, in a process of its own: TensorFlow's client may wait long, and logs as it does.

`python -m gpuprobe.keras.client SERVICE FOLDER MILLISECONDS` writes on stdout why it got none, and nothing where it
did.
"""

from __future__ import annotations

import os
import sys


def main(service: str, folder: str, milliseconds: int) -> None:
    """Trace into the folder; what the client prints, advice on an option of its own among it, goes to stderr."""
    answer = os.dup(1)
    os.dup2(2, 1)
    import tensorflow as tf

    try:
        tf.profiler.experimental.client.trace(service, folder, milliseconds, num_tracing_attempts=1)
    except (tf.errors.OpError, RuntimeError) as error:
        lines = str(error).strip().splitlines()
        os.write(answer, (lines[0] if lines else type(error).__name__).encode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
