"""Two real workers of one job: each is traced in its own process, and their traces are judged together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpuprobe.evidence.breakdown import main_device
from gpuprobe.ledger.breakdown import breakdown_of
from gpuprobe.measure.group import free_ports
from gpuprobe.traces.read import read

# The second worker sleeps before each step; the training function holds the exchange between them.
SCRIPT = """
import os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
import gpuprobe
from gpuprobe.backends.with_tensorflow import in_cluster

strategy = tf.distribute.MultiWorkerMirroredStrategy()
with strategy.scope():
    weights = tf.Variable(tf.ones([64, 64]))

@tf.function
def train_step(x):
    def of_replica(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(x @ weights))
        gradient = tape.gradient(loss, weights)
        weights.assign_sub(1e-3 * tf.distribute.get_replica_context().all_reduce("mean", gradient))
        return loss
    return strategy.run(of_replica, args=(x,))

x = tf.ones([32, 64])
train_step(x)
assert in_cluster()
with gpuprobe.window("job", out=sys.argv[1], trace_at=5, verbose=False) as steps:
    for _ in range(20):
        time.sleep(float(sys.argv[2]))
        train_step(x)
        steps.step()
"""


def test_each_worker_is_traced_and_the_late_one_is_named(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    job = tmp_path / "job"
    workers = []
    for index, sleep_s in enumerate(("0", "0.6")):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        command = [sys.executable, str(script), str(job / "ba"[index]), sleep_s]
        workers.append(
            subprocess.Popen(
                command, env={**os.environ, "TF_CONFIG": config}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        )
    for worker in workers:
        said, _ = worker.communicate()
        assert worker.returncode == 0, said.decode(errors="replace")
    # Called as in TF_CONFIG, whatever their folders are called.
    breakdown = breakdown_of(read(job))
    assert [device.host for device in breakdown.devices] == ["worker1", "worker0"]
    # The numbers of their steps tell which exchange is which, however busy the machine.
    assert (breakdown.unmatched, breakdown.untold) == ("", "")
    judged = main_device(breakdown)
    assert judged is not None
    assert judged.host == "worker1"
    waits = breakdown.devices[1]
    assert waits.ledger_ms["idle_peer"] > waits.step_ms / 2
    # On a busy machine the other waits at times too, and never for the length of a sleep.
    assert waits.ledger_ms["idle_peer"] > judged.ledger_ms["idle_peer"]
