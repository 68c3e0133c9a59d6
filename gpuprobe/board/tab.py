"""The pages of the tab: the list of profiles with the verdict of one, and the breakdown of several over time."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import jinja2
from markupsafe import Markup

from gpuprobe.board import bars
from gpuprobe.board.sessions import PROFILES_FOLDER
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
PROFILES_COMPARED = 12
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
    chosen_session = sessions.get(chosen) or next(iter(sessions.values()), None)
    if chosen_session is None:
        return _page("none.html.jinja")
    judged = judge.judged(chosen_session)
    device = main_device(judged.diagnosis) if judged.diagnosis else None
    return _page(
        "tab.html.jinja",
        listed=[(profile.name, _taken(profile), urlencode({"trace": profile.name})) for profile in sessions.values()],
        chosen=chosen_session.name,
        found=judged,
        words=findings.diagnosis_in_words(judged.diagnosis) if judged.diagnosis else None,
        steps=bars.of_steps(device) if device else None,
        query=urlencode({"trace": chosen_session.name}),
        several=len(sessions) > 1,
        links=_links(chosen_session, prefix) if profiler else [],
    )


def over_time(sessions: Mapping[str, ProfileSession], judge: Judge) -> str:
    """Return the page with the breakdowns of the newest profiles, in order of time."""
    newest_profiles = [*sessions.values()][:PROFILES_COMPARED]
    profile_devices = [(session, judge.device(session)) for session in reversed(newest_profiles)]
    breakdown_chart = bars.of_traces(
        [(profile.name, _taken(profile), device) for profile, device in profile_devices if device is not None]
    )
    profiles_left_out = len(sessions) - len(breakdown_chart.bars)
    return _page("over_time.html.jinja", chart=breakdown_chart, left_out=profiles_left_out)


def _page(template_name: str, **context: Any) -> str:
    page_style = Markup(f"{static('step.css')}{colours()}{_environment.get_template('tab.css.jinja').render()}")  # noqa: S704
    return _environment.get_template(template_name).render(style=page_style, **context)


def _taken(session: ProfileSession) -> str:
    return datetime.fromtimestamp(session.written_ns / 1e9, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _links(session: ProfileSession, prefix: str) -> list[tuple[str, str]]:
    """Return links to TensorBoard's profile plugin for a profile, as (words, URL); none where it does not show it."""
    session_path = session.folder.as_posix()
    xplane_ending = next(iter(XPLANE.endings))
    if f"/{PROFILES_FOLDER}/" not in session_path or not session.files[0].name.endswith(xplane_ending):
        return []
    trace_host = session.files[0].name.removesuffix(xplane_ending)
    trace_data_url = f"{prefix}/data/plugin/profile/data?run={session.name}&tag=trace_viewer@&host={trace_host}"
    viewer_query = f"is_streaming=true&is_oss=true&trace_data_url={quote(trace_data_url, safe='')}"
    return [
        ("Trace viewer of TensorBoard's profiler", f"{PROFILER}/trace_viewer_index.html?{viewer_query}"),
        ("TensorBoard's profiler", f"{prefix}/#profile"),
    ]
