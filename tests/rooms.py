"""The rooms of the house: the job of each, and what it may import. `test_rooms.py` holds the code to it."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"


@dataclass(frozen=True)
class Room:
    """A folder of the package (or one of its own files): its job, the rooms and the guarded packages it may import."""

    job: str
    rooms: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()


def _room(job: str, rooms: str = "", packages: str = "") -> Room:
    return Room(job, frozenset(rooms.split()), frozenset(packages.split()))


# What every room may import: single files of the package, and the records.
COMMON = {
    "blocks": _room("how far the mean of times in a row may be off"),
    "bootstrap": _room("runs a module of the package in a child, on a safe path"),
    "child": _room("the one place where child processes are started"),
    "errors": _room("the errors that a user sees as one line, each with its exit code"),
    "foreign": _room("text that others chose, made fit to be shown"),
    "known_bugs": _room("bugs of Keras and TensorFlow that end a training, and the workaround of each"),
    "lifeline": _room("ends a child with its parent"),
    "process_pool": _room("child processes that work on tasks side by side"),
    "quantiles": _room("medians and percentiles"),
    "recording": _room("the files of a study and of a run, by name"),
    "records": _room("the frozen types that pass between the rooms, and their JSON"),
    "scratch": _room("temporary folders, and what killed programs left of them"),
    "tf_config": _room("TF_CONFIG: the tasks of a job, and which of them a process is"),
    "thresholds": _room("the numbers that decide, each with its source"),
    "units": _room("factors between units"),
    "wording": _room("numbers in words: shares, times, counts"),
}
# In the order in which data flows.
ROOMS = {
    "models": _room("the networks, in Keras alone", "", "keras"),
    "telemetry": _room("samples the GPU and the host in its own process; reads recordings", "", "pynvml psutil"),
    "logs": _room("what nvidia-smi and dcgmi log, read as a recording", "telemetry"),
    "backends": _room("what each backend of Keras offers for measuring", "telemetry", "keras tensorflow jax torch"),
    "workloads": _room("what is trained: model, data, loss, optimiser in one", "models backends", "tensorflow keras"),
    "strategies": _room("how it is fed and compiled; one decorated function each", "workloads backends cards", "keras"),
    "paired": _room("runs that took turns, in pairs of blocks: one fit, and what holds for all at once", "", "scipy"),
    "measure": _room(
        "plans a study, starts one fresh process a run, lets runs take turns, times, traces",
        "strategies workloads backends telemetry paired",
        "tensorflow keras psutil",
    ),
    "traces": _room("readers: XPlane and Chrome JSON into a `Timeline`", "", "google"),
    "cards": _room("what each GPU can do"),
    "ledger": _room("a `Timeline` into the step-time breakdown of each device", "traces cards"),
    "evidence": _room("breakdown, run, card, readings into named signals", "ledger cards telemetry"),
    "whatif": _room(
        "a trace replayed with one change, and a run without one of its parts", "ledger evidence traces cards"
    ),
    "advice": _room("what to do about a cause in a training's situation, and the code", "whatif evidence ledger"),
    "diagnosis": _room(
        "evidence into findings by rules, joined into one diagnosis",
        "advice whatif evidence ledger traces logs telemetry cards",
    ),
    "ranking": _room(
        "runs into intervals, ties and ranks", "paired diagnosis whatif evidence ledger traces telemetry", "scipy"
    ),
    "search": _room("which change to measure next", "ranking whatif ledger"),
    "compare": _room("two studies side by side", "ranking diagnosis evidence ledger traces logs telemetry"),
    "simulate": _room("sessions whose truth is known", "traces telemetry cards", "google"),
    "predict": _room("the epoch time that a card should reach", "cards ranking"),
    # Each framework is asked in a child process alone: `probe.py` and `probe_backend.py` are such children.
    "doctor": _room(
        "can the GPU be used here, and the fix where not", "backends telemetry cards", "psutil tensorflow jax torch"
    ),
    "watch": _room("any command, sampled and judged", "telemetry evidence diagnosis", "psutil"),
    "report": _room(
        "text, pages and plots of what was found",
        "ranking compare watch diagnosis advice whatif evidence ledger traces telemetry cards backends",
        "matplotlib jinja2 markdown_it",
    ),
    "stepview": _room(
        "a page to look into the step of a trace, and the same for Perfetto",
        "report diagnosis whatif evidence ledger traces",
        "jinja2",
    ),
    "sharing": _room(
        "a copy of a study without paths, names and secrets, and the proof",
        "report diagnosis ranking telemetry traces",
        "psutil",
    ),
    "keras": _room(
        "one line in a user's code", "telemetry backends measure diagnosis report stepview", "keras tensorflow"
    ),
    "board": _room(
        "the tab GPUPROBE of TensorBoard",
        "stepview report diagnosis evidence ledger traces",
        "jinja2",
    ),
    "results": _room("what the functions of the package return", "ranking report diagnosis"),
    "api": _room("the functions of the package", "measure search report stepview results strategies workloads"),
}
# The package's own file names what it imports lazily, for the type checker; a subcommand uses every room.
FREE = {"cli", "__init__"}


def files() -> list[Path]:
    """Return every file of the package."""
    return sorted([*ROOT.glob("gpuprobe/**/*.py"), *ROOT.glob("models/**/*.py")])


def room_of(path: Path) -> str:
    """Return the room that a file is in; one that lies in the package itself is its own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return "models" if parts[0] == "models" else (parts[1] if len(parts) > 1 else "")


def module_of(path: Path) -> str:
    """Return the dotted name by which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    inside = ("gpuprobe", *parts) if parts[0] == "models" else parts
    return ".".join(inside[:-1] if inside[-1] == "__init__" else inside)


def imported(path: Path) -> set[str]:
    """Return every dotted name that the file imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def picture() -> str:
    """Draw the rooms as Mermaid, in the order in which data flows; what every room may import is left out.

    An arrow leads from a room to one that imports it: the way that data takes. One that a longer way shows is left out.
    """
    lines = ["flowchart LR"]
    lines += [f'    {name}["<b>{name}</b><br>{room.job}"]' for name, room in ROOMS.items()]
    reached = {name: _reached(name) for name in ROOMS}
    for name, room in ROOMS.items():
        direct = [one for one in ROOMS if one in room.rooms]
        lines += [
            f"    {one} --> {name}"
            for one in direct
            if not any(one in reached[other] for other in direct if other != one)
        ]
    return "\n".join(lines)


def _reached(name: str) -> set[str]:
    return {*ROOMS[name].rooms}.union(*(_reached(other) for other in ROOMS[name].rooms))


def table() -> str:
    """Return the rooms as a Markdown table: each room's job."""
    rows = [f"| `{name}` | {room.job} |" for name, room in (ROOMS | COMMON).items()]
    return "\n".join(["| room | its job |", "|---|---|", *rows, "| `cli` | one file a subcommand; prints and exits |"])


def written(text: str) -> str:
    """Return the page of the architecture with picture and table as they are now."""
    for name, block in (("picture", f"```mermaid\n{picture()}\n```"), ("table", table())):
        begin, end = f"<!-- {name} of tests/rooms.py -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{block}\n{end}{rest.partition(end)[2]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
