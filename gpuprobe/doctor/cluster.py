"""Reads TF_CONFIG, which names the workers of a job, and checks whether this worker's port is free."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from gpuprobe.doctor.facts import ClusterFacts
from gpuprobe.tf_config import VARIABLE, parse

if TYPE_CHECKING:
    from collections.abc import Mapping


def cluster_facts(environment: Mapping[str, str]) -> ClusterFacts:
    """Return the content of TF_CONFIG, or what is wrong with it."""
    tf_config = environment.get(VARIABLE, "")
    if not tf_config:
        return ClusterFacts()
    try:
        parsed_config = parse(tf_config)
    except ValueError as error:
        return ClusterFacts(given=True, wrong=str(error))
    tasks, task_kind, task_index = parsed_config.addresses, parsed_config.kind, parsed_config.index
    addresses = [address for task_addresses in tasks.values() for address in task_addresses]
    repeated_address = next((address for address in addresses if addresses.count(address) > 1), "")
    if repeated_address:
        return ClusterFacts(given=True, tasks=tasks, wrong=f"gives {repeated_address} to two tasks")
    if not 0 <= task_index < len(tasks.get(task_kind, ())):
        return ClusterFacts(given=True, tasks=tasks, wrong=f"has no {task_kind} {task_index} in its cluster")
    own_address = tasks[task_kind][task_index]
    return ClusterFacts(
        given=True,
        tasks=tasks,
        kind=task_kind,
        index=task_index,
        address=own_address,
        port_taken=_is_port_taken(own_address),
    )


def _is_port_taken(address: str) -> bool | None:
    """Return whether this worker's port is in use already; None where that cannot be tried."""
    _, _, port = address.rpartition(":")
    if not port.isdecimal():
        return None
    with socket.socket() as listener:
        # TensorFlow's server sets this too: it can reuse the port of a connection that was just closed.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", int(port)))
        except OverflowError:
            return None
        except OSError:
            return True
    return False
