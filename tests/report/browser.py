# Copyright (c) 2026 The Kubeharden Authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real Chromium without a window, driven through its DevTools protocol over a pair of pipes.

Nothing but the standard library is needed: with --remote-debugging-pipe Chromium reads commands from file descriptor 3
and writes answers and events to 4, each a JSON document that ends with a zero byte.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome")


class BrowserError(Exception):
    """Chromium refused a command, said that a script failed, or did not answer in time."""


def program() -> str | None:
    """Return the path of a Chromium on this machine, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """A running Chromium with one page.

    Attributes:
        events: What it has said by itself since the last `open`, oldest first.
    """

    def __init__(self, process: subprocess.Popen[bytes], to: int, back: int) -> None:
        self._process, self._to, self._back = process, to, back
        self._number, self._read, self._session = 0, b"", ""
        self.events: list[dict[str, t.Any]] = []

    def call(self, method: str, **parameters: t.Any) -> dict[str, t.Any]:
        """Return the answer to one command. Raises BrowserError when it is refused or does not come in 60 s."""
        self._number += 1
        message: dict[str, t.Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        end = time.monotonic() + 60
        while True:
            answer = self._next(end, method)
            if answer.get("id") != self._number:
                self.events.append(answer)
                continue
            if "error" in answer:
                raise BrowserError(f"{method}: {answer['error']['message']}")
            result: dict[str, t.Any] = answer["result"]
            return result

    def _next(self, end: float, waiting_for: str) -> dict[str, t.Any]:
        while b"\0" not in self._read:
            ready, _writable, _failed = select.select([self._back], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._back, 1 << 20) if ready else b""
            if not chunk:
                why = "Chromium ended" if ready else "no answer in 60 s"
                raise BrowserError(f"{waiting_for}: {why}, code {self._process.poll()}")
            self._read += chunk
        line, _end, self._read = self._read.partition(b"\0")
        message: dict[str, t.Any] = json.loads(line)
        return message

    def attach(self) -> None:
        """Open the page and turn on what it tells."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file and wait until it is there."""
        # An address that differs by its fragment alone would not be loaded again.
        self._go("about:blank")
        self._go(path.as_uri() + fragment)
        # What the page said on its console comes before this answer, and all of it is laid out.
        self.run("document.body.getBoundingClientRect().height")

    def _go(self, address: str) -> None:
        self.events.clear()
        loader = self.call("Page.navigate", url=address)["loaderId"]
        end = time.monotonic() + 60
        # Of this load and no other: the events of the one before may still be on their way.
        while not any(
            event.get("method") == "Page.lifecycleEvent"
            and event["params"]["name"] == "load"
            and event["params"]["loaderId"] == loader
            for event in self.events
        ):
            self.events.append(self._next(end, "load"))

    def run(self, script: str) -> t.Any:
        """Return the value of an expression in the page; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"].get("exception", answer["exceptionDetails"])))
        return answer["result"].get("value")

    def complaints(self) -> list[str]:
        """Return what the page wrote on the console, exceptions and entries of the browser's log since `open`."""
        methods = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
        return [json.dumps(event["params"])[:500] for event in self.events if event.get("method") in methods]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since `open`."""
        sent = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [url for url in (event["params"]["request"]["url"] for event in sent) if url != "about:blank"]

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and let go of a key: Tab, Enter or Space."""
        code, text = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " ")}[key]
        common = {
            "key": text if key == "Space" else key,
            "code": key,
            "windowsVirtualKeyCode": code,
            "modifiers": 8 if shift else 0,
        }
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def look(self, *, scheme: str = "light", media: str = "", width: int = 1280, height: int = 900) -> None:
        """Set the colour scheme, the medium (print, or empty for a screen) and the size of the window."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def without_scripts(self, without: bool = True) -> None:
        """Run no script of a page from the next `open` on, or do again."""
        self.call("Emulation.setScriptExecutionDisabled", value=without)

    def screenshot(self) -> bytes:
        """Return what is in the window as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def pdf(self) -> bytes:
        """Return the page as it would be printed, on the paper that its style sheet names."""
        answer = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(answer["data"])


def sheets(pdf: bytes) -> int:
    """Return the number of pages of a PDF as Chromium writes it."""
    return pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ")


@contextlib.contextmanager
def started(path: str) -> Iterator[Browser]:
    """Start Chromium with a profile of its own, and end it."""
    profile = tempfile.mkdtemp(prefix="kubeharden-chromium-")
    # Above the two numbers that they get in the child, so that neither is overwritten while it is set.
    read_there, write_here = (_high(number) for number in os.pipe())
    read_here, write_there = (_high(number) for number in os.pipe())
    command = [
        path,
        "--headless=new",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        "--font-render-hinting=none",
    ]
    if os.geteuid() == 0:
        # Chromium's sandbox refuses root; the pages are files that this test has just written.
        command.append("--no-sandbox")
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" 3<&{read_there} 4>&{write_there}', "bash", *command],
        pass_fds=(read_there, write_there),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(read_there)
    os.close(write_there)
    try:
        browser = Browser(process, write_here, read_here)
        browser.attach()
        yield browser
    finally:
        os.close(write_here)
        # The session is its own, so the group is Chromium and its processes.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(read_here)
        shutil.rmtree(profile, ignore_errors=True)


def _high(number: int) -> int:
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(number)
    return moved
