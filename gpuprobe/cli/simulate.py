"""`gpuprobe simulate`: a GPU session whose truth is known, written like a real recording."""

from __future__ import annotations

from pathlib import Path

import click

from gpuprobe.cli._ends import echo
from gpuprobe.cli._help import DescribedCommand, exit_codes_of
from gpuprobe.cli._options import READ_PATH, WRITTEN_PATH
from gpuprobe.errors import UsageError

HELP_ORDER = 80
HELP_GROUP = "Prepare"
EXAMPLES = (
    ("gpuprobe simulate --schema > spec.toml", "every knob, its meaning, and its value"),
    ("gpuprobe simulate spec.toml --out here", "the recording, and its truth in here/truth.json"),
    ("gpuprobe report here", "its report, marked SIMULATED"),
)
EXIT_CODES = exit_codes_of("simulated", 3, 4)


@click.command("simulate", cls=DescribedCommand, examples=EXAMPLES, exit_codes=EXIT_CODES)
@click.argument("spec", type=READ_PATH, required=False, metavar="[SPEC.toml]", help="The session, in TOML.")
@click.option("--out", type=WRITTEN_PATH, metavar="DIR", help="A new folder for recording and truth.")
@click.option("--schema", is_flag=True, help="Print every knob of a spec and its meaning.")
def command(spec: Path | None, out: Path | None, schema: bool) -> None:
    """Simulate a training session of which all is known.

    Writes a trace, telemetry and records, and the truth about them.
    """
    from gpuprobe import wording
    from gpuprobe.cli._folders import new_folder
    from gpuprobe.simulate import spec_file
    from gpuprobe.simulate.sessions import TRUTH_FILE, write_session

    if schema:
        print(spec_file.schema(), end="")
        return
    if spec is None or out is None:
        raise UsageError("name a spec and a folder: gpuprobe simulate SPEC.toml --out DIR (--schema lists the knobs)")
    session_spec = spec_file.read(spec)
    with new_folder(out):
        truth = write_session(session_spec, out)
    echo(f"SIMULATED: a step of {wording.milliseconds(truth.step_ms)}; primary cause: {truth.primary}.")
    for fix, gain in sorted(truth.fixes.items(), key=lambda fix_and_gain: -fix_and_gain[1].ratio)[:3]:
        echo(f"  {fix}: {gain.ratio:.2f} times as fast")
    echo(f"Recording: {out}, truth: {out / TRUTH_FILE}")
