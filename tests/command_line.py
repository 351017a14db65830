"""Run the command line in processes of its own, and look at what they leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from tvm_sparse.cache.store import Cache

POISON = Path(__file__).parent / "poison"
BERT = {
    "model_type": "bert",
    "architectures": ["BertModel"],
    "vocab_size": 96,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
#: As short a measurement as there is.
QUICK = ("--iterations", "5", "--warmup", "0")
TIMEOUT_S = 300


def write_config(directory: Path, **changes) -> Path:
    """Make a directory that is a very small model without weights."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps({**BERT, **changes}))
    return directory


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tvm_sparse", *map(str, arguments)]


@dataclass
class Sandbox:
    """A place for processes: their temporary files, and a mark by which they are found again."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def environment(self, **extra: object) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return {
            **os.environ,
            "TMPDIR": str(temporary),
            "COMMAND_LINE_TEST": self.mark,
            "HF_HUB_OFFLINE": "1",
            "COLUMNS": "160",
            **{name: str(value) for name, value in extra.items()},
        }

    def run(self, *arguments: object, **extra: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            env=self.environment(**extra),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )

    def popen(self, *arguments: object, **extra: object) -> subprocess.Popen[str]:
        """Start a process in a group of its own, as a shell does."""
        return subprocess.Popen(
            command(*arguments),
            env=self.environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def poisoned(self, *modules: str) -> dict[str, str]:
        """Return the environment in which no process may import these modules."""
        path = os.pathsep.join(filter(None, (str(POISON), os.environ.get("PYTHONPATH"))))
        log = str(self.folder / "poison.log")
        return {"PYTHONPATH": path, "POISONED_MODULES": ",".join(modules), "POISON_LOG": log}

    def imported_poison(self) -> str:
        log = self.folder / "poison.log"
        return log.read_text() if log.exists() else ""

    def processes(self, within_s: float = 20.0) -> list[str]:
        """Return the command lines of the processes that still live after so many seconds.

        One that was just being started when its parent ended finds that nobody will ask it
        anything as soon as it runs.
        """
        end = time.monotonic() + within_s
        while (found := self._alive()) and time.monotonic() < end:
            time.sleep(0.1)
        return found

    def _alive(self) -> list[str]:
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if f"COMMAND_LINE_TEST={self.mark}".encode() in (entry / "environ").read_bytes():
                    found.append((entry / "cmdline").read_text())
            except OSError:  # it has ended meanwhile, or is no business of ours
                continue
        return found

    def leftovers(self, cache_dir: Path) -> list[str]:
        """Return what is in the cache and in the temporary directory but should not be."""
        stray = [str(path) for path in (self.folder / "tmp").iterdir()]
        stray += [str(path) for path in cache_dir.glob("*/.*.partial")]
        stray += [str(path) for path in cache_dir.glob(".locks/*")]
        return stray + [e.problem for e in Cache(cache_dir).ls() if e.problem]
