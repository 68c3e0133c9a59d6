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
from gpuprobe.stepview.said import bare_kernel_name, predicted_step_sentence, title_of, trace_facts_of, view_notes_of

if TYPE_CHECKING:
    from gpuprobe.stepview.gaps import ListedGap
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
class _LegendEntry:
    """One category in the legend or among the causes of a gap: its CSS classes, words, time and share."""

    category: str
    style: str
    legend: str
    meaning: str
    time: str
    share: str = ""


def render(view: View, *, alone: bool = True) -> str:
    """Return the page of a trace. Without `alone` it has no verdict, since the tab of TensorBoard shows that."""
    style, script = f"{static('step.css')}{colours()}", _script()
    breakdown = view.strips[0].breakdown if view.strips else None
    title = title_of(view)
    return _environment.get_template("step.html.jinja").render(
        policy=_content_security_policy(style, script),
        style=Markup(style),  # noqa: S704 - gpuprobe's own file
        script=Markup(script),  # noqa: S704 - likewise
        data=Markup(packed(view)),  # noqa: S704 - base64 means nothing in HTML
        about=Markup(_legend_json()),  # noqa: S704 - it holds no text that others chose
        title=title,
        alone=alone,
        simulated=view.simulated,
        facts=trace_facts_of(view),
        words=findings.diagnosis_in_words(view.diagnosis),
        legend=[_legend_entry(line.category, line.ms, line.fraction) for line in reading.category_lines(breakdown)]
        if breakdown
        else [],
        device=breakdown.name if breakdown else "",
        gaps=[_gap_entry(view, gap) for gap in view.gaps],
        shown_gaps=SHOWN_GAPS,
        # A processor's work is on many threads, so no single event comes last before a gap or first after it.
        around=breakdown is not None and breakdown.kind == "gpu",
        predicted=predicted_step_sentence(view),
        after=f"After the advised change ({view.predicted.prediction.change})" if view.predicted else "",
        notes=view_notes_of(view),
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
    return "".join(f".c-{category} {{ --c: {look.paper}; }}\n" for category, look in CATEGORIES.items())


def static(file_name: str) -> str:
    """Return a static part of the page, style or script, by its file's name."""
    return (resources.files("gpuprobe.stepview") / "static" / file_name).read_text()


def _content_security_policy(style: str, script: str) -> str:
    """Return the content security policy: only this style and this script, by hash; no host, no file, no form."""
    return (
        f"default-src 'none'; style-src 'sha256-{_hash(style)}'; script-src 'sha256-{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()


def _legend_json() -> str:
    look_by_category = {
        category_name: {
            "colour": category.paper,
            "hatch": category.hatch,
            "legend": category.legend,
            "meaning": category.meaning,
        }
        for category_name, category in CATEGORIES.items()
    }
    return json.dumps({"look": look_by_category}, separators=(",", ":")).replace("<", "\\u003c")


def _legend_entry(category: str, ms: float, fraction: float | None = None) -> _LegendEntry:
    category_look = CATEGORIES[category]
    cause_share = wording.share(fraction) if fraction is not None else ""
    cause_time = wording.milliseconds(ms).replace(" ", "\u00a0")
    return _LegendEntry(
        category, style_of(category), category_look.legend, category_look.meaning, cause_time, cause_share
    )


def style_of(category: str) -> str:
    """Return the classes of a category's colour: colour and hatch."""
    return f"c-{category} {HATCHES.get(CATEGORIES[category].hatch, 'lines')}".strip()


def _gap_entry(view: View, listed_gap: ListedGap) -> dict[str, object]:
    gap, tick_ps = listed_gap.gap, tick_ps_of(view)
    longest_causes = sorted(gap.causes_ms.items(), key=lambda cause_and_ms: -cause_and_ms[1])
    gap_length = wording.milliseconds(gap.duration_ms)
    # The breakdown counts steps from 0; readers count from 1.
    gap_position = f"step {gap.step + 1}, at {wording.milliseconds(gap.start_ms)}"
    return {
        "from": (listed_gap.start_ps - view.begin_ps) // tick_ps,
        "to": -(-(listed_gap.end_ps - view.begin_ps) // tick_ps),
        "categories": [category for category, _ in longest_causes],
        "causes": [_legend_entry(category, ms) for category, ms in longest_causes[:SHOWN_CAUSES]],
        "length": gap_length,
        "step": gap.step + 1,
        "at": wording.milliseconds(gap.start_ms),
        "host": reading.gap_events(gap),
        "before": bare_kernel_name(listed_gap.before) or "the trace begins",
        "after": bare_kernel_name(listed_gap.after) or "the trace ends",
        "said": f"Gap of {gap_length} in {gap_position}. The host was in {reading.gap_events(gap)}.",
    }
