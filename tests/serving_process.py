"""A server in a process of its own, and what it says."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from command_line import Sandbox, command


@dataclass
class Serving:
    """A process that serves.

    Attributes
    ----------
    process : Popen
        It.
    address : str
        host:port.
    lines : list of str
        What it has said.
    """

    process: subprocess.Popen[str]
    address: str = ""
    lines: list[str] = field(default_factory=list)

    def read(self) -> None:
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    def said(self, *texts: str, count: int = 1) -> str:
        """Wait until it has said a line with these texts, so many times."""
        for _ in range(24000):
            found = [line for line in list(self.lines) if all(text in line for text in texts)]
            if len(found) >= count:
                return found[-1]
            assert self.process.poll() is None, self.lines
            time.sleep(0.01)
        raise AssertionError(f"it never said {texts}: {self.lines}")

    def ask(self, path: str, document: Any = None, method: str = "") -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        body = None if document is None else json.dumps(document).encode()
        try:
            connection.request(method or ("GET" if body is None else "POST"), path, body)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        try:
            return response.status, json.loads(data)
        except ValueError:
            return response.status, data.decode()


@contextmanager
def serving(folder: Path, config: dict[str, Any], **environment: str) -> Iterator[Serving]:
    """Serve what a configuration says, in `folder`/serve.yaml, until the end of the block."""
    path = write_config(folder, config)
    variables = Sandbox(folder).environment(**environment)
    arguments = command("serve", path)
    with subprocess.Popen(
        arguments, env=variables, stderr=subprocess.PIPE, text=True, cwd=folder
    ) as process:
        one = Serving(process)
        reader = threading.Thread(target=one.read)
        reader.start()
        try:
            one.address = one.said("listening on http://").split("http://")[1]
            one.said("ready: ")
            yield one
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()
                reader.join()


def write_config(folder: Path, config: dict[str, Any]) -> Path:
    """Write it as a whole, in place of the one that is there."""
    path, new = folder / "serve.yaml", folder / "serve.yaml.new"
    new.write_text(yaml.safe_dump({"http": {"port": 0}, "cores": 1, **config}))
    return new.replace(path)


class Asking:
    """Asks again and again in a thread, and keeps what went wrong."""

    def __init__(self, one: Serving, path: str, document: Any) -> None:
        self.answers, self.faults = 0, []
        self._ends = threading.Event()
        self._one, self._path, self._document = one, path, document
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ends.is_set():
            try:
                status, answer = self._one.ask(self._path, self._document)
                if status != 200:
                    self.faults.append(answer)
            except (OSError, http.client.HTTPException) as error:
                self.faults.append(repr(error))
            self.answers += 1
