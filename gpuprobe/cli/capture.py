"""`gpuprobe capture`: a trace from a job that is running already."""

from __future__ import annotations

from pathlib import Path

import click

from gpuprobe.cli._ends import echo
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import WRITTEN_PATH, Duration, Number
from gpuprobe.errors import UsageError

HELP_ORDER = 60
HELP_GROUP = "Measure"
EXAMPLES = (
    ("gpuprobe capture --port 6009", "from a job here that started TensorFlow's profiler server at 6009"),
    ("gpuprobe capture --host gpu7 --port 6009", "from one on another machine"),
    ("gpuprobe capture --pid 4711", "from one here that trains with gpuprobe.keras.Probe()"),
)
EXIT_CODES = {
    **exit_codes_of("traced", failed="the job answered, and sent no trace"),
    3: "there is no such process",
    5: "nothing answers at that port, or TensorFlow is not installed",
}


@click.command("capture", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.option("--port", type=Number(min=1, max=65535), help="The port of TensorFlow's profiler server.")
@click.option("--host", default="localhost", help="The machine that it runs on.")
@click.option("--pid", type=Number(min=1), help="A process with a Probe: it traces its next steps.")
@click.option("--time", type=Duration(), default="2s", metavar="TIME", help="How long to trace a server's job.")
@click.option("--out", type=WRITTEN_PATH, default=Path("trace"), metavar="DIR", help="Where a server's trace goes.")
def command(port: int | None, host: str, pid: int | None, time: float, out: Path) -> None:
    """Take a profiler trace from a job that is running.

    From TensorFlow's profiler server (--port), or from the Probe in a process on this machine (--pid). TensorFlow
    2.21's server may crash a worker that trains with others as the trace stops; the Probe does not.
    """
    from gpuprobe.keras.capture import from_process, from_server

    if (port is None) == (pid is None):
        raise UsageError("name either --port of a profiler server, or --pid of a process with a Probe")
    if pid is not None:
        from_process(pid)
        echo(f"Asked process {pid} for a trace of its next steps; its Probe writes it into its own recording.")
        return
    assert port is not None
    for path in from_server(host, port, time, out):
        echo(str(path))
