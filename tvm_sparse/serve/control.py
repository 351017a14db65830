"""Who decides which models a server has: the configuration, and requests where they may."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.serve.allowed_models import find_model
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.fleet import Fleet
from tvm_sparse.serve.model_config import TENSORS
from tvm_sparse.serve.refusal import not_now, wrong
from tvm_sparse.serve.sites import Site
from tvm_sparse.serve.statistics import ServerCounts


class ModelControl:
    """Changes which models a server has, one change after the other.

    Parameters
    ----------
    config : ServeConfig
        What is served at first.
    fleet : Fleet
        The processes, and what they serve.

    Attributes
    ----------
    fleet : Fleet
        As given.
    is_open : bool
        Whether the models of the configuration are loaded, and may be changed.
    config_failures : int
        How often a changed configuration could not be used.
    """

    def __init__(self, config: ServeConfig, fleet: Fleet) -> None:
        self._config, self.fleet = config, fleet
        self._known = {one.name: one for one in config.models}
        self._turn = asyncio.Lock()
        self.is_open = False
        self.config_failures = 0

    async def start(self) -> None:
        """Load the models of the configuration.

        Raises
        ------
        TvmSparseError
            One cannot be served.
        """
        async with self._turn:
            await self.fleet.begin(self._config.models)
        self.is_open = True

    async def join(self, site: Site) -> None:
        """Have a further site serve what the others serve, and from now on change with them.

        Raises
        ------
        TvmSparseError
            A model cannot be served there.
        """
        async with self._turn:
            await self.fleet.join(site)

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
                await self.fleet.change([one])
            except TvmSparseError as error:
                raise wrong(f"failed to load '{name}': {error}") from None
            self._known[name] = one

    async def unload(self, name: str) -> None:
        """Take a model away; see `Repository.unload`.

        Raises
        ------
        Refusal
            It is not allowed, or there is none.
        """
        self._allow()
        async with self._turn:
            if name not in self.fleet.served:
                owner = name.removesuffix(TENSORS)
                advice = f": unload '{owner}'" if owner in self.fleet.served else ""
                raise wrong(f"failed to unload '{name[:100]}': no such model is loaded{advice}")
            await self.fleet.unload(name)

    async def renew(self, name: str) -> None:
        """Load a model from its files again.

        Raises
        ------
        TvmSparseError
            It cannot be served; the old one still is.
        """
        async with self._turn:
            if name in self.fleet.served:
                await self.fleet.change([self.fleet.served[name]])

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
            new = [one for one in config.models if before.get(one.name) != one]
            await self.fleet.change(new, before.keys() - after.keys())
            self._known.update((one.name, one) for one in new)
            self._config = replace(self._config, models=config.models)

    async def statistics(self) -> ServerCounts:
        """Return what happened to the requests of each name, in all sites."""
        found = await self.fleet.counts()
        found.config_failures = self.config_failures
        return found

    def _allow(self) -> None:
        if not self._config.control.load_unload:
            raise not_now("explicit model load / unload is not allowed")
        if not self.is_open:
            raise not_now("the models of the configuration are not loaded yet")
