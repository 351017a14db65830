"""The server for `soak_serve.py`: its files change, in every way there is."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import yaml
from soak_clients import PATIENCE_S

WAYS = ("request", "directory", "configuration")


class Server:
    """The server and its files in a directory."""

    def __init__(self, folder: Path, builds: list[Path], workers: int, cores: int) -> None:
        self.folder, self.builds, self.serial = folder, builds, 0
        self.log = folder / "access.log"
        shutil.copytree(builds[0], folder / "swapped")
        self.config: dict[str, Any] = {
            "http": {"port": 0},
            "workers": workers,
            "cores": cores,
            "log": {"access": True, "file": str(self.log)},
            "control": {"watch": True, "load_unload": True, "roots": [str(folder)]},
            "models": [
                {"name": "steady", "model": str(builds[0])},
                {"name": "swapped", "model": str(folder / "swapped")},
            ],
        }
        self.write()
        self.said: list[str] = []
        command = [sys.executable, "-m", "tvm_sparse", "serve", str(self.path)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        self.address = self.wait_for("listening on http://").split("http://")[1]
        self.wait_for("ready: ")

    @property
    def path(self) -> Path:
        """Where the configuration is."""
        return self.folder / "serve.yaml"

    def write(self) -> None:
        """Write the configuration."""
        new = self.path.with_suffix(".new")
        new.write_text(yaml.safe_dump(self.config))
        new.replace(self.path)

    def _read(self) -> None:
        for line in self.process.stderr:
            self.said.append(line.strip())

    def wait_for(self, text: str, after: int = 0) -> str:
        """Return a line with a text, when it has been said after so many others."""
        for _ in range(round(PATIENCE_S / 0.02)):  # by no clock: all may be stopped meanwhile
            for line in self.said[after:]:
                if text in line:
                    return line
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise click.ClickException(f"it never said {text!r}: {self.said[-5:]}")

    def processes(self) -> list[int]:
        """Those that answer, and the one that keeps them; the spare one comes and goes."""
        several = self.config["workers"] if self.config["workers"] > 1 else 0
        return [self.process.pid, *map(self.worker, range(several))]

    def worker(self, index: int) -> int:
        """Return the number of a process that answers."""
        lines = [one for one in self.said if one.startswith(f"worker {index}: process")]
        return int(next(one for one in lines[::-1] if "ended" not in one).split()[-1])

    def reload(self, way: str, build: Path) -> None:
        """Have `swapped` be another build, and wait until it is."""
        after = len(self.said)
        if way == "request":
            connection = http.client.HTTPConnection(self.address, timeout=600)
            self._place(build)
            connection.request("POST", "/v2/repository/models/swapped/load", "{}")
            response = connection.getresponse()
            if response.status != 200:
                raise click.ClickException(f"load: {response.read()!r}")
            connection.close()
        elif way == "directory":
            self._place(build)
            self.wait_for("reloaded: swapped", after)
        else:
            self.serial += 1
            model = self.config["models"][1]
            model["queue"] = {"max_size": 128 + self.serial % 2}
            self._place(build)
            self.write()
            self.wait_for("reloaded: swapped", after)

    def break_it(self) -> None:
        """Write over the artifact in place with what is none."""
        after = len(self.said)
        (self.folder / "swapped" / "model.so").write_bytes(b"no library")
        self.wait_for("swapped: not reloaded", after)

    def _place(self, build: Path) -> None:
        place, new, old = (self.folder / name for name in ("swapped", ".new", ".old"))
        shutil.copytree(build, new)
        place.rename(old)
        new.rename(place)
        shutil.rmtree(old)

    def measure(self) -> dict[str, float]:
        """Return what all processes hold together: RSS and PSS in MB, files and threads."""
        sums = Counter[str]()
        for pid in self.processes():
            home = Path(f"/proc/{pid}")
            try:
                for line in (home / "smaps_rollup").read_text().splitlines()[1:]:
                    key, value = line.split(":")
                    if key in ("Rss", "Pss", "Pss_Anon"):
                        sums[key] += int(value.split()[0]) / 1024
                sums["files"] += len(list((home / "fd").iterdir()))
                sums["threads"] += len(list((home / "task").iterdir()))
            except OSError:
                continue
        return dict(sums)
