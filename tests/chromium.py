"""A headless Chromium, driven over a pipe by its DevTools protocol: no library, no port."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 120
"""How long a page may take to load, on a busy machine."""


def find() -> str | None:
    """Return the path of the browser; `None` if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A browser with one tab."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to = to_browser
        self._from = from_browser
        self._received = b""
        self._number = 0
        self.session: str | None = None
        self.asked_for: list[str] = []
        """The URLs that pages have asked for."""

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("method") == "Network.requestWillBeSent":
                self.asked_for.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has ended"
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        return dict(json.loads(message))

    def open_tab(self) -> None:
        """Open the only tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        self.call("Network.enable")
        self.call("Page.enable")

    def show(self, page: Path, *, width: int, dark: bool = False, printed: bool = False) -> None:
        """Load a page at a width."""
        mobile = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=mobile,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media="print" if printed else "", features=[scheme])
        self.asked_for.clear()
        self.call("Page.navigate", url=page.as_uri())
        give_up_at = time.monotonic() + SECONDS
        state = "[document.readyState, location.href]"
        while self.evaluate(state) != ["complete", page.as_uri()]:
            assert time.monotonic() < give_up_at, "the page does not load"
            time.sleep(0.02)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(found["data"]))

    def pdf(self) -> bytes:
        """Return the page as it is printed."""
        return base64.b64decode(self.call("Page.printToPDF", paperWidth=8.27)["data"])


def _high(descriptors: tuple[int, int]) -> list[int]:
    """Move descriptors away from those that the shell is asked to set."""
    moved = [fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in descriptors]
    for each in descriptors:
        os.close(each)
    return moved


@contextmanager
def running(executable: str, profile: Path) -> Iterator[Browser]:
    """Run a browser with a profile of its own."""
    (its_in, our_out), (our_in, its_out) = map(_high, (os.pipe(), os.pipe()))
    options = "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --no-first-run"
    options += " --disable-dev-shm-usage"
    options += f" --disable-background-networking --user-data-dir='{profile}'"
    # The protocol is spoken on the descriptors 3 and 4.
    command = f"exec '{executable}' {options} --remote-debugging-pipe 3<&{its_in} 4>&{its_out}"
    process = subprocess.Popen(
        ["/bin/bash", "-c", command],
        pass_fds=(its_in, its_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(its_in)
    os.close(its_out)
    browser = Browser(our_out, our_in)
    try:
        browser.open_tab()
        yield browser
    finally:
        os.close(our_out)
        process.terminate()
        process.wait()
        os.close(our_in)
