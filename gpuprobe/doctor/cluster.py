"""Reads TF_CONFIG, which names the workers of a job, and checks whether this worker's port is free."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from gpuprobe.doctor.facts import ClusterFacts
from gpuprobe.tf_config import VARIABLE, parse

if TYPE_CHECKING:
    from collections.abc import Mapping


def cluster(environment: Mapping[str, str]) -> ClusterFacts:
    """Return the content of TF_CONFIG, or what is wrong with it."""
    text = environment.get(VARIABLE, "")
    if not text:
        return ClusterFacts()
    try:
        config = parse(text)
    except ValueError as error:
        return ClusterFacts(given=True, wrong=str(error))
    tasks, kind, index = config.addresses, config.kind, config.index
    addresses = [address for group in tasks.values() for address in group]
    twice = next((address for address in addresses if addresses.count(address) > 1), "")
    if twice:
        return ClusterFacts(given=True, tasks=tasks, wrong=f"gives {twice} to two tasks")
    if not 0 <= index < len(tasks.get(kind, ())):
        return ClusterFacts(given=True, tasks=tasks, wrong=f"has no {kind} {index} in its cluster")
    own = tasks[kind][index]
    return ClusterFacts(given=True, tasks=tasks, kind=kind, index=index, address=own, port_taken=_is_taken(own))


def _is_taken(address: str) -> bool | None:
    """Return whether this worker's port is in use already; None where that cannot be tried."""
    _, _, port = address.rpartition(":")
    if not port.isdecimal():
        return None
    with socket.socket() as listener:
        # Like TensorFlow's server, which can reuse the port of a connection just closed.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", int(port)))
        except OverflowError:
            return None
        except OSError:
            return True
    return False
