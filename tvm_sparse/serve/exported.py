"""Models that are no artifacts yet: exported into the cache before they are served.

`tvm-sparse export` does it, in a process of its own: the compiler and TensorFlow are never in one
that serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tvm_sparse.cache.store import Cache
from tvm_sparse.errors import BuildError, ConfigError
from tvm_sparse.host import detect_host
from tvm_sparse.provenance import TVM, versions_of
from tvm_sparse.runtime.metadata import METADATA_FILE, load_metadata
from tvm_sparse.serve.model_config import ExportConfig, ModelConfig
from tvm_sparse.serve.snapshots import look_at
from tvm_sparse.sources.presets import find_preset

KIND = "served"
_ARTIFACT = "artifact"
#: The exit code of commands that are asked what they cannot do.
_REFUSED = 2


def is_to_be_exported(one: ModelConfig) -> bool:
    """Tell whether what a model names must be exported first."""
    directory = Path(one.model)
    if directory.is_dir():
        return not (directory / METADATA_FILE).is_file() and (
            one.export is not None or (directory / "config.json").is_file()
        )
    return one.export is not None or find_preset(one.model) is not None


async def find_artifact(one: ModelConfig) -> str:
    """Return the directory of a model's artifact, exported first if that is needed.

    Its progress goes to standard error.

    Raises
    ------
    BuildError, ConfigError
        It cannot be exported; the reason was said there.
    CacheError
        The cache cannot be written.
    """
    if not is_to_be_exported(one):
        return one.model
    cache, settings = Cache(), one.export or ExportConfig()
    directory = Path(one.model)
    key = cache.key(
        {
            "model": str(directory.resolve()) if directory.is_dir() else one.model,
            "files": look_at(directory),
            "settings": asdict(settings),
            "host": [detect_host().isa, sorted(detect_host().features)],
            "versions": versions_of(TVM),
        }
    )
    entry = cache.get(KIND, key)
    if entry is None:
        with cache.create(KIND, key) as staging:
            await _export(one, settings, staging.path / _ARTIFACT)
            made = load_metadata(staging.path / _ARTIFACT)
            facts = {"spec": made.spec, "build": made.build, "isa": made.isa}
            staging.manifest |= {**facts, "versions": made.versions}
        entry = staging.entry
        assert entry is not None
    return str(entry.path / _ARTIFACT)


async def _export(one: ModelConfig, settings: ExportConfig, target: Path) -> None:
    """Have a process export a model; it ends with who waits for it.

    Raises
    ------
    BuildError, ConfigError
        It failed.
    """
    command = [sys.executable, "-m", "tvm_sparse", "export", "--model", one.model]
    command += [*arguments(settings), "-o", str(target)]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        status = await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    if status != 0:
        # What it was asked, or what happened.
        raise (ConfigError if status == _REFUSED else BuildError)(
            f"{one.model} cannot be exported: what is wrong was said before, and "
            f"`tvm-sparse export --model {one.model}` says it again"
        )


def arguments(settings: ExportConfig) -> list[str]:
    """Return the options of `tvm-sparse export` that settings stand for."""
    found: list[str] = []
    for one in fields(settings):
        value: Any = getattr(settings, one.name)
        if value is not None and value is not False:
            flag = f"--{one.name.replace('_', '-')}"
            found += [flag] if value is True else [flag, str(value)]
    if settings.sparsity is None and settings.prune is None:
        # Weights stay as they come: nobody serves a model that was pruned at random by accident.
        found += ["--prune", "none"]
    return found
