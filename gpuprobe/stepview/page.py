"""The step page as one HTML file: words, data and script, and a content security policy that allows only these."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from gpuprobe import wording
from gpuprobe.foreign import shown
from gpuprobe.report import breakdown as reading
from gpuprobe.report import findings
from gpuprobe.report.categories import CATEGORIES
from gpuprobe.stepview.pack import packed, tick_ps_of
from gpuprobe.stepview.said import bare, facts, notes, of_predicted, title_of

if TYPE_CHECKING:
    from gpuprobe.stepview.gaps import Listed
    from gpuprobe.stepview.view import View

# The parts of the script, in order.
SCRIPTS = ("data.js", "look.js", "strip.js", "lanes.js", "view.js", "find.js", "told.js", "hands.js", "start.js")
SHOWN_GAPS, SHOWN_CAUSES = 10, 3
HATCHES = {"///": "lines", "...": "dots", "": ""}
_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("gpuprobe.stepview", "static"),
    autoescape=True,
    trim_blocks=True,
    undefined=jinja2.StrictUndefined,
    finalize=lambda value: value if isinstance(value, Markup) else shown(str(value)),
)


@dataclass(frozen=True)
class _Cause:
    """One colour of the legend or of a gap."""

    category: str
    style: str
    legend: str
    meaning: str
    time: str
    share: str = ""


def render(view: View, *, alone: bool = True) -> str:
    """Return the page of a trace; unless it is `alone`, without the verdict, which is then beside it."""
    style, script = f"{static('step.css')}{colours()}", _script()
    breakdown = view.strips[0].breakdown if view.strips else None
    title = title_of(view)
    return _environment.get_template("step.html.jinja").render(
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 - it is ours
        script=Markup(script),  # noqa: S704 - likewise
        data=Markup(packed(view)),  # noqa: S704 - base64 means nothing in HTML
        about=Markup(_about()),  # noqa: S704 - no text of others is in it
        title=title,
        alone=alone,
        simulated=view.simulated,
        facts=facts(view),
        words=findings.words(view.diagnosis),
        legend=[_cause(line.category, line.ms, line.fraction) for line in reading.lines(breakdown)]
        if breakdown
        else [],
        device=breakdown.name if breakdown else "",
        gaps=[_gap(view, gap) for gap in view.gaps],
        shown_gaps=SHOWN_GAPS,
        # A processor's work is on many threads, so no single event comes last before a gap or first after it.
        around=breakdown is not None and breakdown.kind == "gpu",
        predicted=of_predicted(view),
        after=f"After the advised change ({view.predicted.prediction.change})" if view.predicted else "",
        notes=notes(view),
    )


def _script() -> str:
    """Return the script, in strict mode and in a function scope."""
    parts = "\n".join(static(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();\n'


def script_hash() -> str:
    """Return the hash of the script by which a policy allows it: SHA-256, in base64."""
    return _hash(_script())


def colours() -> str:
    """Return the style of each category's colour."""
    return "".join(f".c-{name} {{ --c: {look.paper}; }}\n" for name, look in CATEGORIES.items())


def static(name: str) -> str:
    """Return a static part of the page, style or script, by its file's name."""
    return (resources.files("gpuprobe.stepview") / "static" / name).read_text()


def _policy(style: str, script: str) -> str:
    """Return the content security policy: only this style and this script, by hash; no host, no file, no form."""
    return (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _about() -> str:
    look = {
        name: {
            "colour": category.paper,
            "hatch": category.hatch,
            "legend": category.legend,
            "meaning": category.meaning,
        }
        for name, category in CATEGORIES.items()
    }
    return json.dumps({"look": look}, separators=(",", ":")).replace("<", "\\u003c")


def _cause(category: str, ms: float, fraction: float | None = None) -> _Cause:
    look = CATEGORIES[category]
    share = wording.share(fraction) if fraction is not None else ""
    time = wording.milliseconds(ms).replace(" ", "\u00a0")
    return _Cause(category, style_of(category), look.legend, look.meaning, time, share)


def style_of(category: str) -> str:
    """Return the classes of a category's colour: colour and hatch."""
    return f"c-{category} {HATCHES.get(CATEGORIES[category].hatch, 'lines')}".strip()


def _gap(view: View, listed: Listed) -> dict[str, object]:
    gap, tick_ps = listed.gap, tick_ps_of(view)
    causes = sorted(gap.causes_ms.items(), key=lambda item: -item[1])
    length = wording.milliseconds(gap.duration_ms)
    # In step 0 of the breakdown the trace's first; people count from one.
    where = f"step {gap.step + 1}, at {wording.milliseconds(gap.start_ms)}"
    return {
        "from": (listed.start_ps - view.begin_ps) // tick_ps,
        "to": -(-(listed.end_ps - view.begin_ps) // tick_ps),
        "categories": [name for name, _ in causes],
        "causes": [_cause(name, ms) for name, ms in causes[:SHOWN_CAUSES]],
        "length": length,
        "step": gap.step + 1,
        "at": wording.milliseconds(gap.start_ms),
        "host": reading.gap_events(gap),
        "before": bare(listed.before) or "the trace begins",
        "after": bare(listed.after) or "the trace ends",
        "said": f"Gap of {length} in {where}. The host was in {reading.gap_events(gap)}.",
    }
