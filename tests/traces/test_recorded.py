"""A trace that the installed TensorFlow records, read back and held against what the program measured of itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gpuprobe.traces.find import find
from gpuprobe.traces.read import read
from gpuprobe.traces.xplane_pb2 import XSpace

PROGRAM = """
import json, sys, time
import tensorflow as tf
train = tf.function(lambda x: tf.linalg.matmul(x, x))
x = tf.ones((64, 64))
train(x)
tf.profiler.experimental.start(sys.argv[1])
steps = []
for number in (7, 8, 9):
    begin = time.time_ns()
    with tf.profiler.experimental.Trace("train", step_num=number, _r=1):
        train(x).numpy()
        time.sleep(0.02)
    steps.append((begin, time.time_ns()))
tf.profiler.experimental.stop()
print(json.dumps(steps))
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    log = tmp_path_factory.mktemp("log")
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, log], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return log, json.loads(done.stdout.splitlines()[-1])


def test_its_steps_lie_where_the_program_was(recorded: tuple[Path, list[tuple[int, int]]]) -> None:
    log, steps = recorded
    timeline = read(log)
    assert timeline.unix
    assert timeline.steps.number.tolist() == [7, 8, 9]
    for start_ps, end_ps, (begin_ns, end_ns) in zip(
        timeline.steps.start_ps.tolist(), timeline.steps.end_ps.tolist(), steps, strict=True
    ):
        # The profiler and the program may read the clock some moments apart, when another program comes in between.
        assert timeline.origin_ns + start_ps / 1000 >= begin_ns - 50e6
        assert timeline.origin_ns + end_ps / 1000 <= end_ns + 50e6
        assert end_ps - start_ps >= 20e9


def test_no_event_is_lost(recorded: tuple[Path, list[tuple[int, int]]]) -> None:
    log, _ = recorded
    (file,) = find(log).files
    space = XSpace.FromString(file.read_bytes())
    written = [line for plane in space.planes if plane.name.startswith("/host:") for line in plane.lines]
    timeline = read(log)
    assert sum(len(thread.events) for thread in timeline.threads) == sum(len(line.events) for line in written) > 0
    durations = sum(event.duration_ps for line in written for event in line.events)
    assert sum(int(np.sum(thread.events.duration_ps)) for thread in timeline.threads) == durations
