"""Reads TF_CONFIG, by which each worker of a job knows the others, and whether its own port can be listened on."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

from gpuprobe.doctor.facts import ClusterFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "TF_CONFIG"


def cluster(environment: Mapping[str, str]) -> ClusterFacts:
    """Return what TF_CONFIG says, or what is wrong with it."""
    text = environment.get(VARIABLE, "")
    if not text:
        return ClusterFacts()
    try:
        read = json.loads(text)
        tasks = {kind: tuple(map(str, addresses)) for kind, addresses in read["cluster"].items()}
        kind, index = str(read["task"]["type"]), int(read["task"]["index"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return ClusterFacts(given=True, wrong=f"cannot be read ({type(error).__name__}: {error})")
    addresses = [address for group in tasks.values() for address in group]
    twice = next((address for address in addresses if addresses.count(address) > 1), "")
    if twice:
        return ClusterFacts(given=True, tasks=tasks, wrong=f"gives {twice} to two tasks")
    if not 0 <= index < len(tasks.get(kind, ())):
        return ClusterFacts(given=True, tasks=tasks, wrong=f"has no {kind} {index} in its cluster")
    own = tasks[kind][index]
    return ClusterFacts(given=True, tasks=tasks, kind=kind, index=index, address=own, port_taken=_is_taken(own))


def _is_taken(address: str) -> bool | None:
    """Say whether somebody listens on the port of this worker already; None where that cannot be told."""
    _, _, port = address.rpartition(":")
    if not port.isdecimal():
        return None
    with socket.socket() as one:
        # As TensorFlow's server does, which a connection that closed just now does not hinder.
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("", int(port)))
        except OverflowError:
            return None
        except OSError:
            return True
    return False
