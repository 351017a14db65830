"""Chromium without a window, driven over WebDriver."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--hide-scrollbars"),
)
_START_S = 30


class Browser:
    """A window of a browser.

    Parameters
    ----------
    session : str
        Address of its WebDriver session.
    """

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, address: str) -> None:
        _ask(f"{self._session}/url", {"url": address})

    def resize(self, width: int, height: int, dark: bool = False) -> None:
        """Give the page a size in pixels, and the reader's preference of colours."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self._devtools("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", {"features": [feature]})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what a script returns in the page."""
        return _ask(f"{self._session}/execute/sync", {"script": script, "args": arguments})

    def until(self, condition: str) -> None:
        """Wait until an expression of JavaScript is true."""
        for _ in range(400):
            if self.run(f"return Boolean({condition});"):
                return
            time.sleep(0.05)
        raise AssertionError(f"it never came to that: {condition}; {self.faults()}")

    def click(self, selector: str) -> None:
        self.run("document.querySelector(arguments[0]).click();", selector)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of elements, as a reader sees them."""
        return self.run(
            "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText);",
            selector,
        )

    def faults(self) -> list[str]:
        """Return what the browser's console has complained about since the last time."""
        logs = _ask(f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in logs if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, path: Path) -> None:
        """Write the whole page as PNG."""
        options = {"captureBeyondViewport": True, "format": "png"}
        path.write_bytes(
            base64.b64decode(self._devtools("Page.captureScreenshot", options)["data"])
        )

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        body = {"cmd": command, "params": parameters}
        return _ask(f"{self._session}/goog/cdp/execute", body)


@contextmanager
def browsing(folder: Path) -> Iterator[Browser]:
    """Yield a browser whose files are in a new folder; skip the test where there is none."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        pytest.skip("no browser: install chromium and chromium-driver")
    command = [driver, "--port=0", f"--log-path={folder / 'driver.log'}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = _port(process)
            arguments = [*_QUIET, f"--user-data-dir={folder / 'profile'}"]
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": {"binary": browser, "args": arguments},
                "goog:loggingPrefs": {"browser": "ALL"},
            }
            sessions = f"http://127.0.0.1:{port}/session"
            opened = _ask(sessions, {"capabilities": {"alwaysMatch": wanted}})
            session = f"{sessions}/{opened['sessionId']}"
            try:
                yield Browser(session)
            finally:
                _ask(session, method="DELETE")
        finally:
            process.terminate()


def _port(process: subprocess.Popen[str]) -> int:
    """Return the port that a driver says it listens at."""
    assert process.stdout is not None
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        if "started successfully on port" in line:
            return int(line.rstrip().rstrip(".").rpartition(" ")[2])
        if not line:
            break
    raise AssertionError("chromedriver did not start")


def _ask(address: str, body: Any = None, method: str = "POST") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, method=method)
    request.add_header("content-type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(error.read().decode()[:600]) from None
