"""One GPU while it is sampled: its handle, its facts, its MIG instances, and whether it is still there."""

from __future__ import annotations

import threading
from typing import Any

from gpuprobe.telemetry import facts
from gpuprobe.telemetry.nvml import NvmlError, ask
from gpuprobe.telemetry.states import say


class Gpu:
    """A GPU by its index in the driver's list. A field that it does not offer is a notice in `said`, not an error."""

    def __init__(self, index: int) -> None:
        self.index, self.where = index, f"gpu{index}"
        self.handle: Any = None
        self.facts: dict[str, facts.Fact] = {}
        self.mig: list[facts.Instance] = []
        self.said: list[str] = []
        self.gone = False
        self._lock = threading.Lock()
        try:
            self.handle = ask("nvmlDeviceGetHandleByIndex", index)
            self.said += self.learn()
        except NvmlError as error:
            state = error.state if error.state != "invalid" else "vanished"
            self.gone = True
            self.said.append(say(self.where, state, str(error)))

    def learn(self) -> list[str]:
        """Read the GPU's facts; return notices for those missing. Raises NvmlError where the GPU is gone."""
        self.facts, missing = facts.read(self.handle)
        self.mig = facts.mig_devices(self.handle)
        for instance in self.mig:
            self.facts |= instance.facts
        return [f"{self.where}.{name}: {reason}" for name, reason in missing.items()]

    def parts_anew(self) -> tuple[list[facts.Instance], list[facts.Instance]]:
        """List the MIG instances again; return those made and those removed since the last time."""
        known_instances = {(instance.place, *instance.facts.values()): instance for instance in self.mig}
        listed_instances = {
            (instance.place, *instance.facts.values()): instance for instance in facts.mig_devices(self.handle)
        }
        created = [
            instance for instance_key, instance in listed_instances.items() if instance_key not in known_instances
        ]
        removed = [
            instance for instance_key, instance in known_instances.items() if instance_key not in listed_instances
        ]
        if created or removed:
            self.mig = [
                known_instances.get(instance_key, instance) for instance_key, instance in listed_instances.items()
            ]
            removed_facts = {name for instance in removed for name in instance.facts}
            self.facts = {name: fact for name, fact in self.facts.items() if name not in removed_facts}
            for instance in created:
                self.facts |= instance.facts
            self.facts["mig_mode"] = bool(self.mig)
        return created, removed

    def lose(self, state: str, reason: str) -> list[str]:
        """Mark the GPU as gone; return the notice, none where it was marked already."""
        with self._lock:
            newly_gone, self.gone = not self.gone, True
        return [say(self.where, state, reason)] if newly_gone else []

    def is_listed(self) -> bool:
        """Whether the driver still lists the GPU; if so, its handle is renewed."""
        uuid = self.facts.get("uuid")
        try:
            if uuid:
                try:
                    self.handle = ask("nvmlDeviceGetHandleByUUID", str(uuid).encode())
                except NvmlError as error:
                    if error.state != "not_known":
                        raise
                    self.handle = _by_uuid(str(uuid))
            else:
                self.handle = ask("nvmlDeviceGetHandleByIndex", self.index)
        except NvmlError:
            return False
        return self.handle is not None


def _by_uuid(uuid: str) -> Any:
    """Return the handle of a GPU for drivers that cannot look one up by UUID; None where it is not listed."""
    for index in range(ask("nvmlDeviceGetCount")):
        handle = ask("nvmlDeviceGetHandleByIndex", index)
        if facts.FACTS["uuid"](handle) == uuid:
            return handle
    return None
