"""All processes that answer, here called sites: what one serves all serve.

A change is prepared in all of them; when the new models have answered in each, all change over, and
otherwise nothing changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.serve.config import check_names
from tvm_sparse.serve.exported import find_artifact
from tvm_sparse.serve.model_config import TENSORS, ModelConfig
from tvm_sparse.serve.sites import Site
from tvm_sparse.serve.snapshots import Look, Snapshots, look_at
from tvm_sparse.serve.statistics import ServerCounts, Statistics


class Fleet:
    """Sites, and what they serve; one change at a time.

    Parameters
    ----------
    sites : sequence of Site
        Where.
    say : callable
        Receives lines about what happens.
    snapshots : Snapshots or None
        Where artifacts are copied before they are loaded; None where they stay as they are.

    Attributes
    ----------
    sites : list of Site
        As given; further ones `join`.
    served : dict of str to ModelConfig
        What is served, by name, with the directories that were named.
    looks : dict of str to Look
        Of the directories, when they were last loaded, or failed to be.
    """

    def __init__(
        self, sites: Sequence[Site], say: Callable[[str], None], snapshots: Snapshots | None = None
    ) -> None:
        self.sites, self._say, self._snapshots = list(sites), say, snapshots
        self.served: dict[str, ModelConfig] = {}
        self.looks: dict[str, Look] = {}
        self._copies: dict[str, str] = {}
        self._lost: dict[str, Statistics] = {}
        self._failures: dict[str, int] = {}
        self._reloads: dict[str, int] = {}
        self._faults: dict[str, str] = {}

    async def begin(self, models: Sequence[ModelConfig]) -> None:
        """Serve the first models, one after the other.

        Raises
        ------
        TvmSparseError
            One cannot be served.
        """
        for index, one in enumerate(models):
            await self._commit(one, await self._prepare(one, f"models[{index}]"))

    async def join(self, site: Site) -> None:
        """Have a further site serve what the others serve, and from now on change with them.

        Raises
        ------
        TvmSparseError
            A model cannot be served there.
        """
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

    async def change(self, new: list[ModelConfig], gone: Collection[str] = ()) -> None:
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

    async def unload(self, name: str) -> None:
        """Have no site serve a model any more."""
        await self._retire(name, "unloaded")
        self._sweep()

    async def counts(self) -> ServerCounts:
        """Return what happened to the requests of each name, in all sites."""
        counts = await self._everywhere(lambda site: site.counts())
        lost = {
            name: one for name, one in self._lost.items() if any(name in all_ for all_ in counts)
        }
        found = ServerCounts.merged([*counts, lost])
        for name, one in found.models.items():
            owner = name.removesuffix(TENSORS)
            one.reloads = self._reloads.get(owner, 0)
            one.reload_failures = self._failures.get(owner, 0)
        return found

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
        self.served[one.name] = one
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
