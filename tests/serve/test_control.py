"""Changes of what is served, in sites that take their time: no models are loaded here."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from tvm_sparse.errors import ArtifactError
from tvm_sparse.serve.config import ControlConfig, ServeConfig
from tvm_sparse.serve.control import ModelControl
from tvm_sparse.serve.fleet import Fleet
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.statistics import Statistics

pytestmark = pytest.mark.unit


class Site:
    """Prepares when the test says so, and keeps what it was told."""

    def __init__(self, *faults: Exception) -> None:
        self.last: dict[str, Statistics] = {}
        self.told: list[str] = []
        self.begun, self.go, self._faults = asyncio.Event(), asyncio.Event(), list(faults)

    async def prepare(self, one: ModelConfig, where: str, directory: str) -> None:
        self.begun.set()
        await self.go.wait()
        if self._faults:
            raise self._faults.pop()
        self.told.append(f"prepare {one.name}")

    async def abandon(self, names: Collection[str], faults: Mapping[str, str]) -> None:
        self.told.append(f"abandon {' '.join(names)}")

    async def commit(self, name: str) -> None:
        self.told.append(f"commit {name}")

    async def retire(self, name: str, reason: str) -> None:
        self.told.append(f"retire {name}")

    async def counts(self) -> dict[str, Statistics]:
        return self.last


def control_of(folder: Path, *sites: Site) -> ModelControl:
    config = ServeConfig((ModelConfig("m", str(folder)),), control=ControlConfig(load_unload=True))
    control = ModelControl(config, Fleet(sites, lambda _: None))
    control.is_open = True
    return control


def test_a_change_is_carried_through_when_who_asked_has_left(tmp_path: Path) -> None:
    async def play() -> None:
        site = Site()
        repository = Repository(control=control_of(tmp_path, site))
        asked = asyncio.create_task(repository.load("m", {}))
        await site.begun.wait()
        asked.cancel()
        await asyncio.wait([asked])
        site.go.set()
        await repository.unload("m")  # after the change before
        assert site.told == ["prepare m", "commit m", "retire m"]

    asyncio.run(play())


def test_what_one_site_cannot_load_is_forgotten_when_all_have_tried(tmp_path: Path) -> None:
    async def play() -> None:
        quick, slow = Site(ArtifactError("damaged")), Site()
        quick.go.set()
        asked = asyncio.create_task(control_of(tmp_path, quick, slow).load("m", {}))
        await slow.begun.wait()
        for _ in range(20):  # turns of the loop, in which the quick one has failed
            await asyncio.sleep(0)
        slow.go.set()
        with pytest.raises(Refusal, match="failed to load 'm': damaged"):
            await asked
        assert (quick.told, slow.told) == (["abandon m"], ["prepare m", "abandon m"])

    asyncio.run(play())
