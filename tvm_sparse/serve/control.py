"""Who decides which models a server has: loads them beside what is served, and then changes over.

A server has processes that answer, here called sites. A change is prepared in all of them; when
the new model has answered in each, all change over, and otherwise nothing changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.serve.allowed_models import find_model
from tvm_sparse.serve.config import TENSORS, ModelConfig, ServeConfig, check_names
from tvm_sparse.serve.refusal import not_now, wrong
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.statistics import Statistics


class Site(Protocol):
    """A process that answers; see `Repository` for what the methods do."""

    async def prepare(self, one: ModelConfig, where: str) -> None:
        """Load a model beside what is served."""

    async def abandon(self, name: str) -> None:
        """Forget it."""

    async def commit(self, name: str) -> None:
        """Have it take requests."""

    async def retire(self, name: str, reason: str) -> None:
        """Take a model away."""

    async def counts(self) -> dict[str, Statistics]:
        """Return what happened to requests."""


class HereSite:
    """The process itself; what takes its time runs in a thread.

    Parameters
    ----------
    repository : Repository
        What it serves.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._thread = ThreadPoolExecutor(1, "tvm_sparse-load")

    async def prepare(self, one: ModelConfig, where: str) -> None:
        """Load a model beside what is served."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._repository.prepare, one, where)

    async def abandon(self, name: str) -> None:
        """Forget it."""
        self._repository.abandon(name)

    async def commit(self, name: str) -> None:
        """Have it take requests."""
        self._repository.commit(name)

    async def retire(self, name: str, reason: str) -> None:
        """Take a model away."""
        self._repository.retire(name, reason)

    async def counts(self) -> dict[str, Statistics]:
        """Return what happened to requests."""
        return self._repository.counts()


class ModelControl:
    """Changes which models a server has, one change after the other.

    Parameters
    ----------
    config : ServeConfig
        What is served at first.
    sites : sequence of Site
        Where.
    say : callable
        Receives lines about what happens.

    Attributes
    ----------
    is_open : bool
        Whether the models of the configuration are loaded, and may be changed.
    """

    def __init__(
        self, config: ServeConfig, sites: Sequence[Site], say: Callable[[str], None]
    ) -> None:
        self._settings, self._sites, self._say = config.control, sites, say
        #: All that were named; those that are served.
        self._known = {one.name: one for one in config.models}
        self._served = dict(self._known)
        self._turn = asyncio.Lock()
        self.is_open = False

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load or renew a model; see `Repository.load`.

        Raises
        ------
        Refusal
            It is not allowed, or the model cannot be served.
        """
        self._allow()
        async with self._turn:
            one = find_model(name, parameters, self._known, self._settings.roots)
            try:
                await self._deploy(one)
            except TvmSparseError as error:
                raise wrong(f"failed to load '{name}': {error}") from None

    async def unload(self, name: str) -> None:
        """Take a model away; see `Repository.unload`.

        Raises
        ------
        Refusal
            It is not allowed, or there is none.
        """
        self._allow()
        async with self._turn:
            if name not in self._served:
                owner = name.removesuffix(TENSORS)
                advice = f": unload '{owner}'" if owner in self._served else ""
                raise wrong(f"failed to unload '{name[:100]}': no such model is loaded{advice}")
            del self._served[name]
            await self._everywhere(lambda site: site.retire(name, "unloaded"))
            self._say(f"unloaded: {name}")

    async def statistics(self) -> dict[str, Statistics]:
        """Return what happened to the requests of each name, in all sites."""
        return await self._sites[0].counts()

    async def _deploy(self, one: ModelConfig) -> None:
        """Have all sites serve a model, or none.

        Raises
        ------
        TvmSparseError
            It cannot be served.
        """
        check_names({**self._served, one.name: one}.values())
        try:
            await self._everywhere(lambda site: site.prepare(one, one.name))
        except TvmSparseError:
            await self._everywhere(lambda site: site.abandon(one.name))
            raise
        await self._everywhere(lambda site: site.commit(one.name))
        self._known[one.name] = self._served[one.name] = one
        self._say(f"loaded: {one.name}")

    async def _everywhere(self, do: Callable[[Site], Any]) -> list[Any]:
        return await asyncio.gather(*(do(site) for site in self._sites))

    def _allow(self) -> None:
        if not self._settings.load_unload:
            raise not_now("explicit model load / unload is not allowed")
        if not self.is_open:
            raise not_now("the models of the configuration are not loaded yet")
