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
PROFILES_FOLDER = "plugins/profile"
# The path from the record of a gpuprobe run to its profiling sessions.
SESSIONS_OF_RUN = Path(TRACE_FOLDER) / PROFILES_FOLDER


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
        trace_file = self.files[0].resolve()
        folders_above = trace_file.parents[len(SESSIONS_OF_RUN.parts) + 1 :]
        run_folder = (
            folders_above[0]
            if folders_above and trace_file.parent.parent == folders_above[0] / SESSIONS_OF_RUN
            else None
        )
        # Of several sessions of a run only the newest is diagnosed.
        return (
            run_folder
            if run_folder is not None and (run_folder / RUN_FILE).is_file() and trace_file in find(run_folder).files
            else None
        )


def sessions_in(folders: dict[str, Path]) -> dict[str, ProfileSession]:
    """Return the profiles below the log folders by name, the newest first; `folders` maps names to log folders."""
    sessions = [
        session for log_name, log_folder in folders.items() for session in _sessions_below(log_name, log_folder)
    ]
    return {
        session.name: session for session in sorted(sessions, key=lambda profile: (-profile.written_ns, profile.name))
    }


def any_in(folders: dict[str, Path]) -> bool:
    """Return whether any of the log folders holds a profile; `folders` maps names to log folders."""
    return any(
        next(_sessions_below(log_name, log_folder), None) is not None for log_name, log_folder in folders.items()
    )


def log_folders(logdir: str, spec: str) -> dict[str, Path]:
    """Return the folders that TensorBoard was given: one by `--logdir`, or several by `--logdir_spec` as name:path.

    Anything but a local folder, such as a cloud bucket, is left out.
    """
    named_paths = [spec_entry.partition(":") for spec_entry in spec.split(",") if spec_entry]
    folders = {
        log_name if log_path else "": Path(log_path or log_name).expanduser() for log_name, _, log_path in named_paths
    }
    if logdir:
        folders[""] = Path(logdir).expanduser()
    return {log_name: folder for log_name, folder in folders.items() if folder.is_dir()}


def _sessions_below(log_name: str, log_folder: Path) -> Iterator[ProfileSession]:
    for session_folder in sessions_below(log_folder):
        try:
            trace_files = tuple(traces_in(session_folder))
            written_ns = max(file.stat().st_mtime_ns for file in trace_files)
        except OSError:
            continue
        path_below = session_folder.relative_to(log_folder).as_posix().replace(f"{PROFILES_FOLDER}/", "")
        profile_name = "/".join(
            name_part for name_part in (log_name, "" if path_below == "." else path_below) if name_part
        )
        yield ProfileSession(profile_name or ".", session_folder, trace_files, written_ns)
