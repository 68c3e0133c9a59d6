"""The pages that are made of the code: one for each cause, the command line, and what is proved.

Run by mkdocs-gen-files while the site is built, so that these pages cannot fall behind the catalogue and the help.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import mkdocs_gen_files

import gpuprobe
from gpuprobe.cli._app import _program as program
from gpuprobe.diagnosis.causes import CATALOGUE
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.report.answer import bars_of, measured_bar
from gpuprobe.report.explain import CODE, causes_listed, explained
from gpuprobe.report.plots import render
from gpuprobe.simulate import xplane
from gpuprobe.simulate.engine import simulate

if TYPE_CHECKING:
    from gpuprobe.diagnosis.causes import Cause

sys.path.insert(0, str(Path(__file__).parent))
from sessions import SESSIONS

ROOT = Path(__file__).parents[2]
# What is a list of names in the terminal is one in the pages too.
LINES = frozenset(("Decided by", "Stages"))
# A simulated session needs a begin, and which it is does not matter.
BEGIN_NS = 10**18


def write(page: str, text: str) -> None:
    """Write a page of the site."""
    with mkdocs_gen_files.open(page, "w") as file:
        file.write(text)


def picture(cause: Cause) -> str:
    """Write the picture of a cause's step, and return the Markdown that shows it; empty where no step shows it."""
    spec = SESSIONS.get(cause.id)
    if spec is None:
        return ""
    with tempfile.TemporaryDirectory() as folder:
        xplane.write(simulate(spec), Path(folder), BEGIN_NS)
        found = gpuprobe.diagnose(folder, what_if=False)
    if found.primary is None or found.primary.cause != cause.id:
        raise RuntimeError(f"docs/site/sessions.py: the session for {cause.id} is diagnosed as {found.primary}")
    device = main_device(found)
    assert device is not None
    chart = bars_of([measured_bar("a step", device.step_ms, device, "simulated")])
    assert chart is not None
    (drawn,) = render([chart], simulated=True).values()
    with mkdocs_gen_files.open(f"causes/{cause.id}.svg", "wb") as file:
        file.write(drawn)
    return f"![The step of a simulated session, by what it went into]({cause.id}.svg)\n"


def linked(text: str, page: str) -> str:
    """Return the text with each cause that it names as a link to its page."""
    ids = sorted((one.id for one in CATALOGUE if one.id != page), key=len, reverse=True)
    return re.sub(rf"(?<![\w.`/-])({'|'.join(ids)})(?![\w-])", r"[`\1`](\1.md)", text)


def of_cause(cause: Cause) -> str:
    """Return the page of a cause."""
    parts = [f"# {cause.id}\n", f"{cause.words[:1].upper()}{cause.words[1:]}.\n", picture(cause)]
    for title, text in explained(cause)[1:]:
        if title == CODE:
            parts.append(f"```diff\n{text}\n```\n")
        elif title in LINES:
            parts.append(f"## {title}\n\n" + "".join(f"- {line}\n" for line in text.splitlines()))
        elif title == "In --json":
            parts.append(f"In `--json`: {', '.join(f'`{name}`' for name in text.rstrip('.').split(', '))}.\n")
        else:
            parts.append(f"## {title}\n\n{linked(text[:1].upper() + text[1:], cause.id)}\n")
    parts.append(f"In the terminal: `gpuprobe explain {cause.id}`.\n")
    return "\n".join(filter(None, parts))


def all_causes() -> str:
    """Return the page that lists the causes."""
    rows = "".join(f"| [`{name}`]({name}.md) | {words} | {devices} |\n" for name, words, devices in causes_listed())
    return (
        "# Causes\n\nWhat a diagnosis can name. Each page says how the cause shows, what decides it, what cures it, and"
        f" what it can be mistaken for.\n\n| cause | what it is | shown by |\n|---|---|---|\n{rows}"
    )


def command_line() -> str:
    """Return the page of the commands, each with the help that it prints."""
    parts = ["# Command line\n\n"]
    context = click.Context(program, info_name="gpuprobe")
    parts.append(f"```text\n{click.unstyle(program.get_help(context))}\n```\n\n")
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None
        text = command.get_help(click.Context(command, info_name=name, parent=context))
        parts.append(f"## gpuprobe {name}\n\n```text\n{click.unstyle(text)}\n```\n\n")
    return "".join(parts)


for one in CATALOGUE:
    write(f"causes/{one.id}.md", of_cause(one))
write("causes/index.md", all_causes())
write("causes/SUMMARY.md", "".join(f"- [{name}]({name}.md)\n" for name in ("index", *(one.id for one in CATALOGUE))))
write("reference/cli.md", command_line())
