"""Finds the profiles in a log folder: their paths, names and times."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gpuprobe.recording import RUN_FILE, TRACE_FOLDER
from gpuprobe.traces.find import find, sessions_below, traces_in

if TYPE_CHECKING:
    from collections.abc import Iterator

# The path between a run and its profiling sessions, which TensorBoard's profiler leaves out of a run's name.
BETWEEN = "plugins/profile"
# The path from the record of a gpuprobe run to its profiling sessions.
OF_RUN = Path(TRACE_FOLDER) / BETWEEN


@dataclass(frozen=True)
class ProfileSession:
    """One profile: its name in the tab, its folder, its traces, and when the newest of them was written (ns)."""

    name: str
    folder: Path
    files: tuple[Path, ...]
    written_ns: int

    @property
    def of_run(self) -> Path | None:
        """The folder of the gpuprobe run that took this profile, with links resolved; None for other profiles."""
        file = self.files[0].resolve()
        above = file.parents[len(OF_RUN.parts) + 1 :]
        run = above[0] if above and file.parent.parent == above[0] / OF_RUN else None
        # Of several sessions of a run only the newest is diagnosed.
        return run if run is not None and (run / RUN_FILE).is_file() and file in find(run)[0] else None


def sessions_in(folders: dict[str, Path]) -> dict[str, ProfileSession]:
    """Return the profiles below the log folders by name, the newest first; `folders` maps names to log folders."""
    sessions = [session for name, folder in folders.items() for session in _below(name, folder)]
    return {
        session.name: session for session in sorted(sessions, key=lambda profile: (-profile.written_ns, profile.name))
    }


def any_in(folders: dict[str, Path]) -> bool:
    """Return whether there is any profile."""
    return any(next(_below(name, folder), None) is not None for name, folder in folders.items())


def log_folders(logdir: str, spec: str) -> dict[str, Path]:
    """Return the folders that TensorBoard was given: one by `--logdir`, or several by `--logdir_spec` as name:path.

    What is no local folder, such as a cloud bucket, is left out.
    """
    named = [part.partition(":") for part in spec.split(",") if part]
    folders = {name if path else "": Path(path or name).expanduser() for name, _, path in named}
    if logdir:
        folders[""] = Path(logdir).expanduser()
    return {name: folder for name, folder in folders.items() if folder.is_dir()}


def _below(name: str, top: Path) -> Iterator[ProfileSession]:
    for folder in sessions_below(top):
        try:
            files = tuple(traces_in(folder))
            written_ns = max(file.stat().st_mtime_ns for file in files)
        except OSError:
            continue
        place = folder.relative_to(top).as_posix().replace(f"{BETWEEN}/", "")
        called = "/".join(part for part in (name, "" if place == "." else place) if part)
        yield ProfileSession(called or ".", folder, files, written_ns)
