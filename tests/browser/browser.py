"""Chromium without a window, driven over the DevTools protocol: open a file, ask the page, note its troubles."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--mute-audio", "--no-first-run",
          "--disable-extensions", "--disable-background-networking", "--disable-component-update", "--disable-sync",
          "--disable-dev-shm-usage", "--remote-debugging-port=0", "--remote-allow-origins=*")
_PATIENCE = 120.0   # a machine with many other things to do still gets there [s]


def chromium() -> str | None:
    """Path of a chromium, or None."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """One tab. `troubles` and `requests` are what the page did since it was opened."""

    def __init__(self, port: int) -> None:
        """Attach to the first tab of the chromium that listens on `port`."""
        import urllib.request

        import websocket

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
            tab = next(t for t in json.load(answer) if t["type"] == "page")
        self._socket = websocket.create_connection(tab["webSocketDebuggerUrl"], timeout=_PATIENCE)
        self._numbers = itertools.count(1)
        self.troubles: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        """Let go of the tab."""
        self._socket.close()

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer; events that arrive meanwhile are noted."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv())
            if message.get("id") != number:
                self._note(message)
                continue
            if "error" in message:
                raise RuntimeError(f"{method}: {message['error']}")
            return dict(message["result"])

    def show(self, *, width: int, height: int = 900, dark: bool = False, paper: bool = False) -> None:
        """Size of the window, colour scheme, and whether the page is laid out for paper."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        self.send("Emulation.setEmulatedMedia", media="print" if paper else "",
                  features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def open(self, file: Path) -> None:
        """Load a file and wait until it is drawn."""
        self.troubles, self.requests, self._loaded = [], [], False
        self.send("Page.navigate", url=file.resolve().as_uri())
        end = time.monotonic() + _PATIENCE
        while not self._loaded:
            self._note(json.loads(self._socket.recv()))
            if time.monotonic() > end:
                raise TimeoutError(f"{file} did not load")
        while not self.ask(_DRAWN):
            if time.monotonic() > end:
                return  # the detector of empty pictures says which
            time.sleep(0.05)

    def ask(self, script: str) -> Any:
        """Value of a JavaScript expression in the page."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """A PNG of the page."""
        shot = self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))

    def paper(self, file: Path) -> None:
        """The page as a PDF on A4."""
        made = self.send("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True,
                         printBackground=True)
        file.write_bytes(base64.b64decode(made["data"]))

    def _note(self, message: dict[str, Any]) -> None:
        method, about = message.get("method", ""), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.troubles.append(str(about["exceptionDetails"].get("exception", about["exceptionDetails"]))[:300])
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.troubles.append(" ".join(str(a.get("value", a.get("description"))) for a in about["args"])[:300])
        elif method == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.troubles.append(about["entry"]["text"][:300])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"][:300])


_DRAWN = "[...document.querySelectorAll('.chart')].every(c => c.querySelector('svg') || c.textContent.trim())"


@contextmanager
def browsing(program: str) -> Iterator[Browser]:
    """A chromium of its own, with an empty profile, ended afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        running = subprocess.Popen([program, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            browser = Browser(_port(Path(profile) / "DevToolsActivePort", running))
            try:
                yield browser
            finally:
                browser.close()
        finally:
            running.terminate()
            running.wait(30)


def _port(file: Path, running: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if file.exists() and (text := file.read_text(encoding="ascii").split()):
            return int(text[0])
        if running.poll() is not None:
            raise RuntimeError(f"chromium ended with {running.returncode}")
        time.sleep(0.05)
    raise TimeoutError("chromium did not open its port")
