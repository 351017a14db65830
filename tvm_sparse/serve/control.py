"""Who decides which models a server has: loads them beside what is served, and then changes over.

A server has processes that answer, here called sites. A change is prepared in all of them; when
the new models have answered in each, all change over, and otherwise nothing changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.serve.allowed_models import find_model
from tvm_sparse.serve.config import ServeConfig, check_names
from tvm_sparse.serve.exported import find_artifact
from tvm_sparse.serve.model_config import TENSORS, ModelConfig
from tvm_sparse.serve.refusal import not_now, wrong
from tvm_sparse.serve.sites import Site
from tvm_sparse.serve.snapshots import Look, Snapshots, look_at
from tvm_sparse.serve.statistics import ServerCounts, Statistics


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
    snapshots : Snapshots or None
        Where artifacts are copied before they are loaded; None where they stay as they are.

    Attributes
    ----------
    is_open : bool
        Whether the models of the configuration are loaded, and may be changed.
    served : dict of str to ModelConfig
        What is served, by name, with the directories that were named.
    looks : dict of str to Look
        Of the directories, when they were last loaded, or failed to be.
    sites : list of Site
        Where; further ones `join`.
    config_failures : int
        How often a changed configuration could not be used.
    """

    def __init__(
        self,
        config: ServeConfig,
        sites: Sequence[Site],
        say: Callable[[str], None],
        snapshots: Snapshots | None = None,
    ) -> None:
        self._config, self.sites, self._say, self._snapshots = config, list(sites), say, snapshots
        self._known = {one.name: one for one in config.models}
        self._turn = asyncio.Lock()
        self._copies: dict[str, str] = {}
        self._lost: dict[str, Statistics] = {}
        self._failures: dict[str, int] = {}
        self._reloads: dict[str, int] = {}
        self._faults: dict[str, str] = {}
        self.is_open = False
        self.served: dict[str, ModelConfig] = {}
        self.looks: dict[str, Look] = {}
        self.config_failures = 0

    async def start(self) -> None:
        """Load the models of the configuration.

        Raises
        ------
        TvmSparseError
            One cannot be served.
        """
        async with self._turn:
            for index, one in enumerate(self._config.models):
                await self._commit(one, await self._prepare(one, f"models[{index}]"))
        self.is_open = True

    async def join(self, site: Site) -> None:
        """Have a further site serve what the others serve, and from now on change with them.

        Raises
        ------
        TvmSparseError
            A model cannot be served there.
        """
        async with self._turn:
            for name, one in self.served.items():
                await site.prepare(one, name, self._copies[name])
                await site.commit(name)
            await site.abandon([], self._faults)
            self.sites.append(site)

    def leave(self, site: Site) -> None:
        """Forget a site that has ended, and keep what it has counted."""
        if site in self.sites:
            self.sites.remove(site)
            self._lost = ServerCounts.merged([self._lost, site.last]).models
            for one in self._lost.values():
                one.pending = 0

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load or renew a model; see `Repository.load`.

        Raises
        ------
        Refusal
            It is not allowed, or the model cannot be served.
        """
        self._allow()
        async with self._turn:
            one = find_model(name, parameters, self._known, self._config.control.roots)
            try:
                await self._change([one])
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
            if name not in self.served:
                owner = name.removesuffix(TENSORS)
                advice = f": unload '{owner}'" if owner in self.served else ""
                raise wrong(f"failed to unload '{name[:100]}': no such model is loaded{advice}")
            await self._retire(name, "unloaded")
            self._sweep()

    async def renew(self, name: str) -> None:
        """Load a model from its files again.

        Raises
        ------
        TvmSparseError
            It cannot be served; the old one still is.
        """
        async with self._turn:
            if name in self.served:
                await self._change([self.served[name]])

    async def follow(self, config: ServeConfig) -> None:
        """Have what is served be what a configuration says, or leave it all as it is.

        Models that requests have loaded stay.

        Raises
        ------
        TvmSparseError
            A model cannot be served.
        """
        async with self._turn:
            before = {one.name: one for one in self._config.models}
            after = {one.name: one for one in config.models}
            gone = before.keys() - after.keys()
            await self._change([one for one in config.models if before.get(one.name) != one], gone)
            self._config = replace(self._config, models=config.models)

    async def statistics(self) -> ServerCounts:
        """Return what happened to the requests of each name, in all sites."""
        counts = await self._everywhere(lambda site: site.counts())
        lost = {
            name: one for name, one in self._lost.items() if any(name in all_ for all_ in counts)
        }
        found = ServerCounts.merged([*counts, lost])
        found.config_failures = self.config_failures
        for name, one in found.models.items():
            owner = name.removesuffix(TENSORS)
            one.reloads = self._reloads.get(owner, 0)
            one.reload_failures = self._failures.get(owner, 0)
        return found

    async def _change(self, new: list[ModelConfig], gone: Collection[str] = ()) -> None:
        """Have all sites serve some models and no longer others, or change nothing.

        Raises
        ------
        TvmSparseError
            One cannot be served.
        """
        after = {**self.served, **{one.name: one for one in new}}
        check_names(one for name, one in after.items() if name not in gone)
        copies: list[str] = []
        try:
            for one in new:
                copies.append(await self._prepare(one, one.name))
        except TvmSparseError as error:
            *_, name = tried = [one.name for one in new[: len(copies) + 1]]
            faults = self._faults = {**self._faults, name: str(error)}
            self._failures[name] = self._failures.get(name, 0) + 1
            await self._everywhere(lambda site: site.abandon(tried, faults))
            self._sweep()
            raise
        for name in gone:
            if name in self.served:
                await self._retire(name, "")
        for one, copy in zip(new, copies, strict=True):
            again = one.name in self.served
            await self._commit(one, copy)
            self._reloads[one.name] = self._reloads.get(one.name, 0) + again
            self._say(f"{'re' if again else ''}loaded: {one.name}")
        self._sweep()

    async def _prepare(self, one: ModelConfig, where: str) -> str:
        """Load a model in all sites, and return the directory it was loaded from."""
        self.looks[one.model] = await asyncio.to_thread(look_at, one.model)
        copy = await find_artifact(one)
        if self._snapshots is not None:
            copy = await asyncio.to_thread(self._snapshots.keep, copy)
        try:
            await self._everywhere(lambda site: site.prepare(one, where, copy))
        except TvmSparseError as error:  # in words of who knows nothing of copies
            raise type(error)(str(error).replace(copy, one.model)) from None
        return copy

    async def _commit(self, one: ModelConfig, copy: str) -> None:
        await self._everywhere(lambda site: site.commit(one.name))
        self._known[one.name] = self.served[one.name] = one
        self._copies[one.name] = copy
        self._faults.pop(one.name, None)

    async def _retire(self, name: str, reason: str) -> None:
        del self.served[name], self._copies[name]
        for key in (name, name + TENSORS):
            self._lost.pop(key, None)
        await self._everywhere(lambda site: site.retire(name, reason))
        self._say(f"unloaded: {name}")

    def _sweep(self) -> None:
        """Remove the copies of what is no longer served."""
        if self._snapshots is not None:
            self._snapshots.forget_others(self._copies.values())

    async def _everywhere(self, do: Callable[[Site], Awaitable[Any]]) -> list[Any]:
        """Return what all sites answer, or raise what one raises when all have answered."""
        found = await asyncio.gather(*(do(site) for site in self.sites), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return found

    def _allow(self) -> None:
        if not self._config.control.load_unload:
            raise not_now("explicit model load / unload is not allowed")
        if not self.is_open:
            raise not_now("the models of the configuration are not loaded yet")
