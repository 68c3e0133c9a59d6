"""TensorBoard as a child process, at the tab of gpuprobe, on links to the traces of a study or of a watched command.

The profile plugin writes its caches beside the traces that it reads, and later serves them even where the trace has
changed. So it gets a folder of links of its own, which is removed when it ends.
"""

from __future__ import annotations

import importlib.util
import socket
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from gpuprobe import child
from gpuprobe.diagnosis.trainings import studies
from gpuprobe.errors import InputError, MissingError, OutputError
from gpuprobe.recording import PROFILES_PATTERN, RUNS_FOLDER, STEP_FILE, WATCH_FILE, load_study
from gpuprobe.scratch import scratch
from gpuprobe.traces.find import traces_in
from gpuprobe.traces.formats import XPLANE

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

HOST = "127.0.0.1"
INSTALL = "pip install tensorboard tensorboard-plugin-profile"
# TensorBoard's profiler reads XPlane alone; the tab of gpuprobe shows PyTorch's traces too.
XPLANE_ENDING = next(iter(XPLANE.endings))
# TensorBoard imports its plugins before it answers: seconds, on a slow machine many.
START_S = 90.0


@dataclass(frozen=True)
class TracePage:
    """The page of TensorBoard's trace viewer for one trace, and the name of its run. It contacts no other host."""

    run: str
    address: str


class Viewer:
    """A TensorBoard that answers at `address`; `pages` are those of its trace viewer, for the traces that it reads."""

    def __init__(self, process: subprocess.Popen[bytes], root: str, traces: Sequence[Path]) -> None:
        self._process, self.address = process, f"{root}/#gpuprobe"
        self.pages = tuple(_trace_viewer_page(root, trace) for trace in traces if trace.name.endswith(XPLANE_ENDING))

    def wait(self) -> None:
        """Wait until TensorBoard ends or Ctrl-C."""
        self._process.wait()


@contextmanager
def serving(recording: Path, port: int, starting: Callable[[], None] = lambda: None) -> Iterator[Viewer]:
    """Serve the traces of a study or a watch on `port` of the loopback, 0 for a free one.

    `starting` is called once all is checked, before the wait for TensorBoard.
    Raises InputError where it has no trace, MissingError where TensorBoard or its profile plugin is not installed or
    does not start, OutputError where the port is taken.
    """
    traces = _traces(recording)
    for module in ("tensorboard", "xprof"):
        if importlib.util.find_spec(module) is None:
            raise MissingError(f"{module} is not installed: {INSTALL}{_pages_without_tensorboard(recording)}")
    port = _free_port(port)
    starting()
    with scratch() as links:
        for path_served, trace in traces.items():
            trace_link = links / path_served
            trace_link.parent.mkdir(parents=True, exist_ok=True)
            trace_link.symlink_to(trace.resolve())
        log_file = links / "tensorboard.log"
        options = ("--logdir", links, "--host", HOST, "--port", port)
        with log_file.open("wb") as output:
            process = child.start("tensorboard.main", *options, stdout=output, stderr=output)
        try:
            address = f"http://{HOST}:{port}"
            _wait_for_answer(process, address, log_file)
            yield Viewer(process, address, list(traces))
        finally:
            child.end(process)


def _traces(recording: Path) -> dict[Path, Path]:
    """Return the traces of a recording, each by its place below the folder that is served, a folder for each run.

    Raises InputError where there is none.
    """
    is_watch = (recording / WATCH_FILE).is_file()
    if not is_watch:
        load_study(recording)
    traces = {
        Path(f"{study.name}-{run.name}" if is_watch else run.name) / trace.relative_to(run): trace
        for study in (studies(recording) if is_watch else [recording])
        for run in sorted((study / RUNS_FOLDER).glob("*/"))
        for session in sorted(run.glob(PROFILES_PATTERN))
        for trace in traces_in(session)
    }
    if not traces:
        raise InputError(f"{recording}: holds no traces (measured with --no-trace, or shared with --no-traces?)")
    return traces


def _pages_without_tensorboard(recording: Path) -> str:
    """Say where the pages are that show the steps without TensorBoard, empty where there is none."""
    step_pages = sorted(recording.rglob(f"{RUNS_FOLDER}/*/{STEP_FILE}"))
    return f"; without it open {step_pages[0]} in a browser" if step_pages else ""


def _trace_viewer_page(root: str, trace: Path) -> TracePage:
    # The plugin knows a session by its path without `plugins/profile`, and a host by the name of its file.
    run, folder, *_, session, trace_file = trace.parts
    plugin = "/data/plugin/profile"
    host = trace_file.removesuffix(XPLANE_ENDING)
    trace_data_url = f"{plugin}/data?run={run}/{folder}/{session}&tag=trace_viewer@&host={host}"
    query = f"is_streaming=true&is_oss=true&trace_data_url={quote(trace_data_url, safe='')}"
    return TracePage(run, f"{root}{plugin}/trace_viewer_index.html?{query}")


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise OutputError(f"port {port} is taken ({error.strerror}); name another with --port, or 0") from error
        return int(probe.getsockname()[1])


def _wait_for_answer(process: subprocess.Popen[bytes], address: str, log_file: Path) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log_lines = log_file.read_text(errors="replace").strip().splitlines()
            raise MissingError(f"TensorBoard did not start: {log_lines[-1] if log_lines else 'it printed nothing'}")
        try:
            with urllib.request.urlopen(f"{address}/data/environment", timeout=5):  # noqa: S310
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise MissingError(f"TensorBoard did not answer within {START_S:.0f} s")
