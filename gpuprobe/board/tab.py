"""The pages of the tab: the list of profiles with the verdict of one, and the breakdown of several over time."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup

from gpuprobe.board import bars
from gpuprobe.board.sessions import BETWEEN
from gpuprobe.evidence.breakdown import main_device
from gpuprobe.foreign import shown
from gpuprobe.report import findings
from gpuprobe.stepview.page import colours, static
from gpuprobe.traces.formats import XPLANE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gpuprobe.board.judged import Judge
    from gpuprobe.board.sessions import ProfileSession

# How many of the newest profiles are compared over time, since each has to be read.
COMPARED = 12
PROFILER = "../profile"
_environment = jinja2.Environment(
    loader=jinja2.PackageLoader("gpuprobe.board"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
    finalize=lambda value: value if isinstance(value, Markup) else shown(str(value)),
)


def tab(sessions: Mapping[str, ProfileSession], chosen: str, judge: Judge, prefix: str, *, profiler: bool) -> str:
    """Return the tab's page for the chosen profile, by default the newest; `prefix` is the path of TensorBoard's URL.

    `profiler` is whether TensorBoard's profile plugin is installed, to link to it.
    """
    session = sessions.get(chosen) or next(iter(sessions.values()), None)
    if session is None:
        return _page("none.html.jinja")
    judged = judge.judged(session)
    device = main_device(judged.diagnosis) if judged.diagnosis else None
    return _page(
        "tab.html.jinja",
        listed=[(profile.name, _taken(profile), urlencode({"trace": profile.name})) for profile in sessions.values()],
        chosen=session.name,
        found=judged,
        words=findings.words(judged.diagnosis) if judged.diagnosis else None,
        steps=bars.of_steps(device) if device else None,
        query=urlencode({"trace": session.name}),
        several=len(sessions) > 1,
        links=_links(session, prefix) if profiler else [],
    )


def over_time(sessions: Mapping[str, ProfileSession], judge: Judge) -> str:
    """Return the page with the breakdowns of the newest profiles, in order of time."""
    newest = [*sessions.values()][:COMPARED]
    devices = [(session, judge.device(session)) for session in reversed(newest)]
    chart = bars.of_traces(
        [(profile.name, _taken(profile), device) for profile, device in devices if device is not None]
    )
    left_out = len(sessions) - len(chart.bars)
    return _page("over_time.html.jinja", chart=chart, left_out=left_out)


def _page(name: str, **context: Any) -> str:
    style = Markup(f"{static('step.css')}{colours()}{_environment.get_template('tab.css.jinja').render()}")  # noqa: S704
    return _environment.get_template(name).render(style=style, **context)


def _taken(session: ProfileSession) -> str:
    return datetime.fromtimestamp(session.written_ns / 1e9, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _links(session: ProfileSession, prefix: str) -> list[tuple[str, str]]:
    """Return links to TensorBoard's profile plugin for a profile, as (words, URL); none where it does not show it."""
    place = session.folder.as_posix()
    ending = next(iter(XPLANE.endings))
    if f"/{BETWEEN}/" not in place or not session.files[0].name.endswith(ending):
        return []
    host = session.files[0].name.removesuffix(ending)
    data = f"{prefix}/data/plugin/profile/data?run={session.name}&tag=trace_viewer@&host={host}"
    viewer = f"is_streaming=true&is_oss=true&trace_data_url={quote(data, safe='')}"
    return [
        ("Trace viewer of TensorBoard's profiler", f"{PROFILER}/trace_viewer_index.html?{viewer}"),
        ("TensorBoard's profiler", f"{prefix}/#profile"),
    ]
