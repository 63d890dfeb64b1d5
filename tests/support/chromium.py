"""A headless Chromium for tests, spoken to over two pipes in its own protocol: no driver, no port, no dependency.

The protocol's own names are in https://chromedevtools.github.io/devtools-protocol/.
"""

import base64
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.binaries import binary, environment

PATIENCE = 30.0
KEYS = {"Tab": (9, ""), "Enter": (13, "\r"), "Space": (32, " ")}

# It reads commands on file descriptor 3 and writes to 4, whatever the pipes are here.
LAUNCHER = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(pipe), fcntl.F_DUPFD, 10) for pipe in sys.argv[1:3]]
for number, pipe in enumerate(pipes, 3):
    os.dup2(pipe, number)
    os.close(pipe)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Chromium:
    """One browser with one page.

    Args:
        folder: where its profile may go.
    """

    def __init__(self, folder: Path) -> None:
        program = binary("chromium-headless-shell")
        to_browser, self._commands = os.pipe()
        self._replies, from_browser = os.pipe()
        with (folder / "chromium.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", LAUNCHER, str(to_browser), str(from_browser), str(program), *_options(folder)],
                env=_environment(program, folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(to_browser, from_browser),
                start_new_session=True,
            )
        os.close(to_browser)
        os.close(from_browser)
        self.complaints: list[str] = []
        self._read = os.fdopen(self._replies, "rb", buffering=0)
        self._rest = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    def _attach(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    # -- what a person does

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def press(self, key: str) -> None:
        """Presses a key; what it does may take a moment."""
        code, text = KEYS[key]
        fact = {"key": text if key == "Space" else key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **fact)
        self.call("Input.dispatchKeyEvent", type="keyUp", **fact)

    def type(self, text: str) -> None:
        self.call("Input.insertText", text=text)

    def press_until(self, key: str, selector: str, most: int = 80) -> None:
        """Presses a key until an element has the focus."""
        for _ in range(most):
            self.press(key)
            if self.value(f"document.activeElement.matches({json.dumps(selector)})"):
                return
        raise AssertionError(f"{most} times {key} did not lead to {selector}")

    def look(self, width: int, height: int, *, dark: bool = False, phone: bool = False, scale: float = 1) -> None:
        """Sets the size of the window, and whether the person likes it dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def run_scripts(self, *, wanted: bool) -> None:
        """Whether scripts of pages are run."""
        self.call("Emulation.setScriptExecutionDisabled", value=not wanted)

    # -- what a person sees

    def value(self, expression: str) -> Any:
        """What an expression is worth in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def text(self, selector: str) -> str:
        return str(self.value(f"document.querySelector({json.dumps(selector)})?.textContent ?? ''"))

    def wait(self, expression: str) -> None:
        """Until something is true in the page, which may be another one meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                if self.value(expression):
                    return
            except (AssertionError, ProtocolError):
                pass  # the page is on its way out
            assert time.monotonic() < deadline, f"never true: {expression}"

    def screenshot(self) -> bytes:
        return base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"])

    # -- the protocol

    def call(self, method: str, **parameters: Any) -> Any:
        """Sends a command and waits for its result; what the page complains of meanwhile is kept."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (reply := self._message()).get("id") != number:
            self._note(reply)
        if "error" in reply:
            raise ProtocolError(f"{method}: {reply['error']}")
        return reply["result"]

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = self._read.read(65536)
            if not chunk:
                raise ProtocolError("Chromium has ended")
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Log.entryAdded":
            self.complaints.append(event["params"]["entry"]["text"])
        if event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(event["params"]["exceptionDetails"]))

    def close(self) -> None:
        """Ends the browser and whatever it started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._commands)
        self._read.close()


class ProtocolError(Exception):
    """The browser did not do what it was told."""


def _options(folder: Path) -> list[str]:
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    return [
        "--remote-debugging-pipe",
        "--headless",
        f"--user-data-dir={folder / 'profile'}",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--hide-scrollbars",
        "--proxy-server=direct://",
        *as_root,
    ]


def _environment(program: Path, folder: Path) -> dict[str, str]:
    """With the fonts that lie beside a fetched one."""
    fonts = folder / "fonts.conf"
    beside = program.parents[2] / "share/fonts"
    fonts.write_text(
        f'<?xml version="1.0"?><fontconfig><dir>{beside}</dir><dir>/usr/share/fonts</dir>'
        f"<cachedir>{folder / 'fonts'}</cachedir></fontconfig>"
    )
    return {**environment(program), "FONTCONFIG_FILE": str(fonts), "HOME": str(folder)}
