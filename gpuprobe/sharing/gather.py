"""Gathers all facts about a study: from this machine, from its records, and from every text of what will be copied."""

from __future__ import annotations

import json
import os
import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from gpuprobe.sharing import find, rules, secrets
from gpuprobe.sharing.facts import Gathering
from gpuprobe.sharing.kinds import FACTS_LINE, kind_of
from gpuprobe.sharing.machine import this_machine
from gpuprobe.sharing.prefilter import prefilter_of
from gpuprobe.sharing.protobuf import HOST_KEY
from gpuprobe.traces.formats import ending_of, is_named_as_a_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gpuprobe.records import GpuInfo
    from gpuprobe.sharing.facts import Facts
    from gpuprobe.sharing.shared import Shared

# Facts of a card that identify it.
CARD_FACTS = ("uuid", "serial", "pci_bus_id")


def gather(places: Sequence[Path], shared: Shared) -> Facts:
    """Return the identifying facts of a recording in the folder `places[0]`.

    The other places are names of the same folder, such as that of the unfinished copy.
    """
    into = Gathering()
    this_machine(into)
    for place in places:
        for path in {str(place), os.path.abspath(place), os.path.realpath(place)}:  # noqa: PTH100
            if path.startswith("/"):
                find.study(path, into)
    into.studies.update(str(place) for place in places[1:])
    for gpu in shared.gpus:
        into.card(_ids(gpu))
    for target in shared.targets:
        _target(target.rpartition(":")[0] or target, into)
    for command in shared.commands:
        _command(command, into)
    _read(shared.files.values(), shared.marks, into)
    return into.done()


def _ids(gpu: GpuInfo) -> list[str]:
    card_ids = [str(fact) for name, fact in gpu.facts.items() if name.endswith(CARD_FACTS)]
    return [gpu.uuid, gpu.pci_bus_id, *card_ids]


def _command(command: str, into: Gathering) -> None:
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    for word in words:
        for part in {word, word.partition("=")[2]}:
            _target(part.rpartition(":")[0] or part, into)
    find.find_secrets(command, into)


def _target(path: str, into: Gathering) -> None:
    """Add the folder of a file that the user named; nothing for files directly under the root."""
    if path.startswith("/"):
        find.folder(str(PurePosixPath(path).parent), into)


def _read(files: Iterable[Path], marks: Sequence[str], into: Gathering) -> None:
    """Collect the facts in every text of these files."""
    prefilter = prefilter_of(marks, find.HINTS)
    for file in files:
        trace = is_named_as_a_trace(file.name)
        if trace:
            into.hosts.add(file.name.removesuffix(ending_of(file.name)))
        data = file.read_bytes()
        if file.suffix == ".csv":
            _telemetry(data, into)
        for text, key in kind_of(file).texts(data, prefilter):
            _note(text, key, into)
            find.find(text, into)
            find.former(text, marks, into)
            if not trace:
                find.find_secrets(text, into)


def _note(text: str, key: str, into: Gathering) -> None:
    """Collect the fact in a text that is identifying by its key, such as `hostname`."""
    if key == HOST_KEY:
        # Where several hosts were profiled, the name includes the port.
        into.hosts.update({text, text.partition(":")[0] or text})
    elif rules.CARD_KEYS.fullmatch(key):
        into.card([text])
    elif key and secrets.is_secret_key(key):
        into.secrets.add(text)


def _telemetry(data: bytes, into: Gathering) -> None:
    """Collect the ids in telemetry's lines of facts: those in one line belong to one card."""
    for line in data.splitlines():
        match = FACTS_LINE.match(line.decode(errors="replace")) if line.startswith(b"# gpu") else None
        try:
            facts = json.loads(match[2]) if match else None
        except ValueError:
            continue
        if isinstance(facts, dict):
            into.card([str(fact) for name, fact in facts.items() if name.endswith(CARD_FACTS)])
