"""Gathers the identifying facts of a study: from this machine, its records, and every text that will be copied."""

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
IDENTIFYING_CARD_FACTS = ("uuid", "serial", "pci_bus_id")


def gather(recording_paths: Sequence[Path], shared: Shared) -> Facts:
    """Return the identifying facts of the recording in the folder `recording_paths[0]`.

    The other paths belong to the same recording, such as that of the unfinished copy.
    """
    gathering = Gathering()
    this_machine(gathering)
    for recording_path in recording_paths:
        for path_form in {str(recording_path), os.path.abspath(recording_path), os.path.realpath(recording_path)}:  # noqa: PTH100
            if path_form.startswith("/"):
                find.add_study_folder(path_form, gathering)
    gathering.studies.update(str(recording_path) for recording_path in recording_paths[1:])
    for gpu in shared.gpus:
        gathering.card(_card_ids(gpu))
    for named_file in shared.targets:
        _gather_folder_of(named_file.rpartition(":")[0] or named_file, gathering)
    for command in shared.commands:
        _gather_from_command(command, gathering)
    _gather_from_files(shared.files.values(), shared.marks, gathering)
    return gathering.done()


def _card_ids(gpu: GpuInfo) -> list[str]:
    card_ids = [str(fact) for fact_name, fact in gpu.facts.items() if fact_name.endswith(IDENTIFYING_CARD_FACTS)]
    return [gpu.uuid, gpu.pci_bus_id, *card_ids]


def _gather_from_command(command: str, gathering: Gathering) -> None:
    try:
        command_words = shlex.split(command)
    except ValueError:
        command_words = command.split()
    for command_word in command_words:
        for possible_path in {command_word, command_word.partition("=")[2]}:
            _gather_folder_of(possible_path.rpartition(":")[0] or possible_path, gathering)
    find.find_secrets(command, gathering)


def _gather_folder_of(path: str, gathering: Gathering) -> None:
    """Add the folder of a file that the user named; nothing for files directly under the root."""
    if path.startswith("/"):
        find.add_user_folder(str(PurePosixPath(path).parent), gathering)


def _gather_from_files(files: Iterable[Path], marks: Sequence[str], gathering: Gathering) -> None:
    """Collect the facts in every text of these files."""
    prefilter = prefilter_of(marks, find.HINTS)
    for shared_file in files:
        is_trace = is_named_as_a_trace(shared_file.name)
        if is_trace:
            gathering.hosts.add(shared_file.name.removesuffix(ending_of(shared_file.name)))
        file_bytes = shared_file.read_bytes()
        if shared_file.suffix == ".csv":
            _gather_from_telemetry(file_bytes, gathering)
        for text, key in kind_of(shared_file).texts(file_bytes, prefilter):
            _gather_by_key(text, key, gathering)
            find.find_facts(text, gathering)
            find.find_former_folders(text, marks, gathering)
            if not is_trace:
                find.find_secrets(text, gathering)


def _gather_by_key(fact_text: str, key: str, gathering: Gathering) -> None:
    """Collect the fact in a text that is identifying by its key, such as `hostname`."""
    if key == HOST_KEY:
        # Where several hosts were profiled, the name includes the port.
        gathering.hosts.update({fact_text, fact_text.partition(":")[0] or fact_text})
    elif rules.CARD_KEYS.fullmatch(key):
        gathering.card([fact_text])
    elif key and secrets.is_secret_key(key):
        gathering.secrets.add(fact_text)


def _gather_from_telemetry(telemetry_bytes: bytes, gathering: Gathering) -> None:
    """Collect the ids in telemetry's lines of facts: those in one line belong to one card."""
    for line in telemetry_bytes.splitlines():
        facts_line = FACTS_LINE.match(line.decode(errors="replace")) if line.startswith(b"# gpu") else None
        try:
            facts = json.loads(facts_line[2]) if facts_line else None
        except ValueError:
            continue
        if isinstance(facts, dict):
            gathering.card(
                [str(fact) for fact_name, fact in facts.items() if fact_name.endswith(IDENTIFYING_CARD_FACTS)]
            )
