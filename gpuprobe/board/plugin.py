"""The plugin for TensorBoard. TensorBoard loads it at every start, so it imports almost nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tensorboard.backend import http_util
from tensorboard.plugins import base_plugin
from werkzeug import wrappers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from gpuprobe.board.judged import Judge
    from gpuprobe.board.sessions import ProfileSession

NAME = "gpuprobe"
PROFILER = "profile"
# The script that TensorBoard runs in the tab's frame: it loads gpuprobe's page there.
ENTRY = "export async function render() { location.replace(new URL('tab', import.meta.url)); }\n"
HTML, SCRIPT = "text/html", "text/javascript"


class Plugin(base_plugin.TBPlugin):  # type: ignore[misc]  # TensorBoard has no types
    """The tab GPUPROBE."""

    plugin_name = NAME

    def __init__(self, context: base_plugin.TBContext) -> None:
        """Keep the log folders of the options; nothing is read yet."""
        flags = context.flags
        self._logdir = context.logdir or ""
        self._spec = getattr(flags, "logdir_spec", "") or ""
        self._prefix = (getattr(flags, "path_prefix", "") or "").rstrip("/")
        self._plugins = context.plugin_name_to_instance or {}
        self._active = False
        self._judge: Judge | None = None

    def get_plugin_apps(self) -> dict[str, Callable[..., Iterable[bytes]]]:
        """Return the pages by their paths."""
        pages = {"/index.js": self._entry, "/tab": self._tab, "/over_time": self._over_time, "/step": self._step}
        return {url_path: wrappers.Request.application(page) for url_path, page in pages.items()}

    def is_active(self) -> bool:
        """Return whether the logs hold any profile; TensorBoard asks repeatedly until they do."""
        from gpuprobe.board.sessions import any_in

        self._active = self._active or any_in(self._folders())
        return self._active

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Name the tab."""
        return base_plugin.FrontendMetadata(es_module_path="/index.js", tab_name="GPUPROBE", disable_reload=True)

    def _entry(self, request: wrappers.Request) -> Any:
        return http_util.Respond(request, ENTRY, SCRIPT)

    def _tab(self, request: wrappers.Request) -> Any:
        from gpuprobe.board.tab import tab

        chosen_trace, has_profiler = request.args.get("trace", ""), PROFILER in self._plugins
        tab_page = tab(self._sessions(), chosen_trace, self._judged_by(), self._prefix, profiler=has_profiler)
        return http_util.Respond(request, tab_page, HTML)

    def _over_time(self, request: wrappers.Request) -> Any:
        from gpuprobe.board.tab import over_time

        return http_util.Respond(request, over_time(self._sessions(), self._judged_by()), HTML)

    def _step(self, request: wrappers.Request) -> Any:
        from gpuprobe.stepview.page import script_hash

        profile_session = self._sessions().get(request.args.get("trace", ""))
        if profile_session is None:
            return http_util.Respond(request, "There is no such trace.", "text/plain", code=404)
        step_page = self._judged_by().judged(profile_session).page
        return http_util.Respond(request, step_page, HTML, csp_scripts_sha256s=[script_hash()])

    def _folders(self) -> dict[str, Path]:
        from gpuprobe.board.sessions import log_folders

        return log_folders(self._logdir, self._spec)

    def _sessions(self) -> dict[str, ProfileSession]:
        from gpuprobe.board.sessions import sessions_in

        return sessions_in(self._folders())

    def _judged_by(self) -> Judge:
        from gpuprobe.board.judged import Judge

        if self._judge is None:
            self._judge = Judge()
        return self._judge
