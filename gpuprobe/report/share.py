"""A copy of a study that is fit to publish: processor and card by model, and nothing that tells whose they are."""

from __future__ import annotations

import getpass
import os
import platform
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from gpuprobe.errors import OutputError
from gpuprobe.ranking.load import load
from gpuprobe.recording import (
    RANKING_FILE,
    RUN_FILE,
    RUNS_FOLDER,
    STUDY_FILE,
    TELEMETRY_FILE,
    TRACE_LEFT_OUT,
    load_runs,
    load_study,
    search_file,
)
from gpuprobe.records import save
from gpuprobe.report.write import write
from gpuprobe.telemetry.states import STATES
from gpuprobe.traces.planes import without_hostnames

if TYPE_CHECKING:
    from gpuprobe.ranking.ranking import Ranking
    from gpuprobe.records import Run, Study

TRACE_PATTERN = "trace/plugins/profile/*/*.xplane.pb"
SHARED_HOST = "host"
# What the driver says of one card alone, and the names of programs outside the training that used it.
CARD_ID = re.compile(rb'"((?:mig\d+_)?uuid|serial)": "[^"]*"')
# The release of a kernel may carry the name that its builder or its machine gave it.
SYSTEM = re.compile(rb'"system": "[^"]*"')
OTHER_PROCESS = re.compile(rb'(other_process: )[^;"\n]*')
# A shorter name is part of ordinary words, and is looked for only where names of hosts stand.
SHORTEST_TELLING_NAME = 4


def publish(study: Path, target: Path, *, traces: bool = True) -> None:
    """Copy the records, telemetry and traces of a study to a new folder, without what tells whose machine it was.

    Its report is written there too; without its traces it still tells what they say. Logs and events are left behind.
    Raises OutputError where the folder exists or cannot be written, or where the copy, read back, still holds
    something private.
    """
    try:
        target.mkdir(parents=True)
        save(_public_study(load_study(study)), target / STUDY_FILE)
        for source, run in load_runs(study).items():
            copy = target / RUNS_FOLDER / source.name
            copy.mkdir(parents=True)
            save(_public_run(run, traces=traces), copy / RUN_FILE)
            if (source / TELEMETRY_FILE).exists():
                (copy / TELEMETRY_FILE).write_bytes(public_telemetry((source / TELEMETRY_FILE).read_bytes()))
            for trace in source.glob(TRACE_PATTERN) if traces else ():
                renamed = copy / trace.relative_to(source).with_name(f"{SHARED_HOST}.xplane.pb")
                renamed.parent.mkdir(parents=True)
                renamed.write_bytes(_without_paths(without_hostnames(trace.read_bytes())))
        for decided in study.glob(search_file(study, "*").name):
            (target / decided.name).write_bytes(decided.read_bytes())
        if not traces:
            save(_public_ranking(load(study).ranking), target / RANKING_FILE)
    except FileExistsError as error:
        raise OutputError(f"{target}: exists already; name a new folder") from error
    except OSError as error:
        raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    write(target)
    _prove(target)


def public_telemetry(recording: bytes) -> bytes:
    """Return a recording without what tells one card from another of its model, or what else ran on it."""
    unmarked = CARD_ID.sub(rb'"\1": ""', recording)
    unmarked = SYSTEM.sub(b'"system": "' + _system().encode() + b'"', unmarked)
    return OTHER_PROCESS.sub(rb"\1" + STATES["other_process"].encode(), unmarked)


def _public_study(study: Study) -> Study:
    gpus = tuple(
        msgspec.structs.replace(
            gpu, uuid="", facts={name: fact for name, fact in gpu.facts.items() if not name.endswith("uuid")}
        )
        for gpu in study.environment.gpus
    )
    environment = msgspec.structs.replace(study.environment, system=_system(), gpus=gpus)
    words = " ".join(word if "/" not in word else Path(word).name for word in study.command.split())
    request = msgspec.structs.replace(
        study.request, data=_without_folder(study.request.data), model=_without_folder(study.request.model)
    )
    return msgspec.structs.replace(study, environment=environment, command=words, request=request)


def _system() -> str:
    return f"{platform.system()} {platform.machine()}"


def _public_run(run: Run, *, traces: bool) -> Run:
    spec = msgspec.structs.replace(run.spec, data="", model=_without_folder(run.spec.model))
    trace = run.trace
    if trace is not None and not traces:
        trace = msgspec.structs.replace(trace, path=None, missing=TRACE_LEFT_OUT)
    return msgspec.structs.replace(run, spec=spec, trace=trace)


def _public_ranking(ranking: Ranking) -> Ranking:
    """Give the traced devices the host's name that the traces of a shared copy have."""
    rows = tuple(
        msgspec.structs.replace(row, account=msgspec.structs.replace(row.account, host=SHARED_HOST))
        if row.account
        else row
        for row in ranking.rows
    )
    return msgspec.structs.replace(ranking, rows=rows)


def _without_folder(name: str) -> str:
    return Path(name).name if "/" in name else name


def _private_paths() -> list[bytes]:
    places = {Path.home(), Path.cwd(), Path(sys.prefix), Path(sys.base_prefix)}
    # The root folder, and those directly under it, are the same everywhere.
    return sorted({os.fsencode(place) for place in places if len(place.parts) > 2}, key=len, reverse=True)


def _without_paths(content: bytes) -> bytes:
    """Overwrite private paths, at the same length: what surrounds them in a binary file counts its bytes."""
    for path in _private_paths():
        content = content.replace(path, b"/" + b"_" * (len(path) - 1))
    return content


def _prove(folder: Path) -> None:
    names = [name for name in (platform.node(), getpass.getuser()) if len(name) >= SHORTEST_TELLING_NAME]
    private = [re.escape(path) for path in _private_paths()]
    private += [rb"\b" + re.escape(name.encode()) + rb"\b" for name in names if name != "root"]
    for path in folder.rglob("*"):
        if path.is_file() and private and (found := re.search(b"|".join(private), path.read_bytes())):
            raise OutputError(f"{path}: still holds {found[0].decode(errors='replace')!r}; do not publish it")
