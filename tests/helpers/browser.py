"""A headless Chromium that tests drive: by the protocol of its developer tools, over a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.waiting import LIMIT_S

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
    "--hide-scrollbars", "--force-color-profile=srgb", "--proxy-server=127.0.0.1:9", "--proxy-bypass-list=127.0.0.1",
)  # fmt: skip
KEYS = {"Tab": (9, ""), "Enter": (13, "\r")}
# Where the browser reads commands and writes answers.
READS, WRITES, SPARE = 3, 4, 10


class Tab:
    """One page of the browser."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, answers: int) -> None:
        self._process, self._to, self._answers = process, to, answers
        self._left, self._number, self._session = b"", 0, ""
        self.troubles: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, address: str, width: int = 1400, height: int = 900) -> None:
        """Load an address and wait until it has loaded; what it logs as an error is kept in `troubles`."""
        self.size(width, height)
        self._call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def size(self, width: int, height: int, scale: float = 1) -> None:
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False
        )

    def media(self, *, dark: bool = False, printed: bool = False) -> None:
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        features += [{"name": "prefers-reduced-motion", "value": "reduce"}]
        self._call("Emulation.setEmulatedMedia", media="print" if printed else "screen", features=features)

    def ask(self, expression: str) -> Any:
        """Return what an expression of JavaScript gives."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Wait until an expression is true, and return it."""
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until:
            if found := self.ask(expression):
                return found
            time.sleep(0.02)
        raise AssertionError(f"never true: {expression}")

    def click(self, x: float, y: float, *, count: int = 1) -> None:
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def move(self, x: float, y: float) -> None:
        self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def wheel(self, x: float, y: float, by: float, *, control: bool = False) -> None:
        self._call(
            "Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=by, modifiers=2 * int(control)
        )

    def press(self, key: str) -> None:
        # What a key does by itself, as moving on or pressing what has the focus, goes by its number and its text.
        number, text = KEYS.get(key, (0, key if len(key) == 1 else ""))
        self._call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=number)
        self._call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=number)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def printed(self) -> bytes:
        """Return the page as it is printed: a PDF."""
        return base64.b64decode(self._call("Page.printToPDF", printBackground=True)["data"])

    def _call(self, method: str, **given: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": given}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._answer()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        given = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.troubles.append(str(given["exceptionDetails"]))
        if event.get("method") == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.troubles.append(given["entry"]["text"])
        if event.get("method") == "Network.requestWillBeSent":
            self.troubles += [
                f"asked for {address}"
                for address in [given["request"]["url"]]
                if not address.startswith(("file:", "data:", "http://127.0.0.1", "blob:"))
            ]

    def _answer(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            ready, _, _ = select.select([self._answers], [], [], LIMIT_S)
            assert ready, "the browser does not answer"
            read = os.read(self._answers, 1 << 20)
            assert read, "the browser has ended"
            self._left += read
        message, _, self._left = self._left.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


@contextmanager
def browser() -> Iterator[Tab]:
    """Start a browser with one page; the test is skipped where there is none."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    ours, theirs = [], []
    for mine in (1, 0):
        ends = os.pipe()
        ours.append(ends[mine])
        theirs.append(fcntl.fcntl(ends[1 - mine], fcntl.F_DUPFD_CLOEXEC, SPARE))
        os.close(ends[1 - mine])

    def hand_over() -> None:
        os.dup2(theirs[0], READS)
        os.dup2(theirs[1], WRITES)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [program, *SWITCHES, f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            close_fds=False, preexec_fn=hand_over,  # noqa: PLW1509 - it only moves two files
        )  # fmt: skip
        for end in theirs:
            os.close(end)
        try:
            yield Tab(process, ours[0], ours[1])
        finally:
            process.kill()
            process.wait()
            for end in ours:
                os.close(end)
