"""What a process serves, by name and by path, for those who answer requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tvm_sparse.host import neighbouring_cores
from tvm_sparse.serve.access_log import AccessLog
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.deployment import Route
from tvm_sparse.serve.deployments import Deployments
from tvm_sparse.serve.model_config import TENSORS
from tvm_sparse.serve.refusal import Refusal, not_now
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.statistics import ServerCounts
from tvm_sparse.serve.streams import Streams


class Control(Protocol):
    """Decides which models a server has, in all its processes."""

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load or renew a model; see `Repository.load`."""

    async def unload(self, name: str) -> None:
        """Take a model away; see `Repository.unload`."""

    async def statistics(self) -> ServerCounts:
        """Return what happened, in all processes."""


@dataclass
class Repository(Deployments):
    """What a process serves, and how it was told to.

    Attributes
    ----------
    config : ServeConfig or None
        What was to be served in the beginning.
    control : Control or None
        Who may change what is served.
    access_log : AccessLog or None
        Where requests are written down.
    """

    config: ServeConfig | None = None
    control: Control | None = None
    access_log: AccessLog | None = None

    def expect(self, config: ServeConfig) -> None:
        """Take note of which models will come."""
        self.expected |= {one.name for one in config.models}
        self.expected_paths |= {one.path for one in config.models}

    def share(self, config: ServeConfig) -> None:
        """Take note of how models will run.

        Raises
        ------
        ConfigError
            See `ServeConfig.threads`.
        """
        streams, threads = config.threads()
        shared = config.streams == "shared"
        self.threads = streams * threads if shared else threads
        cores = neighbouring_cores()
        # Otherwise they are the system's to choose: some are left over, or a quota counts time.
        pinned = cores if len(cores) == streams * threads else []
        self.streams = Streams(streams, threads, shared, pinned)
        self.config = config
        self.access_log = AccessLog(config.log) if config.log.access else None

    @property
    def ready(self) -> bool:
        """Whether every model has answered."""
        return not self.expected and all(model.ready for model in self.models.values())

    def model(self, name: str, version: str = "1") -> ServedModel:
        """Return a model.

        Raises
        ------
        Refusal
            There is none of that name and version, or not yet.
        """
        found = self.models.get(name)
        if found is not None and version == "1":
            return found
        if name.removesuffix(TENSORS) in self.expected:
            raise not_now(f"model '{name}' is not ready yet")
        which = f"'{name[:100]}'" + (f" version {version[:20]}" if version != "1" else "")
        raise Refusal(404, f"Request for unknown model: {which} is not found")

    def route(self, path: str) -> Route | None:
        """Return what is asked at a path in the words of a pipeline, if something is.

        Raises
        ------
        Refusal
            Not yet.
        """
        found = self.routes.get(path)
        if found is None and path in self.expected_paths:
            raise not_now(f"the model at {path} is not ready yet")
        return found

    def route_of(self, model: ServedModel) -> Route | None:
        """Return where a model is asked in the words of its pipeline, if it is."""
        return next((one for one in self.routes.values() if one.model is model), None)

    def configuration(self) -> ServeConfig | None:
        """Return what is served, and what will be."""
        if self.config is None:
            return None
        coming = {one.name: one for one in self.config.models if one.name in self.expected}
        there = {name: one.config for name, one in self._deployed.items()}
        return replace(self.config, models=tuple({**coming, **there}.values()))

    async def load(self, name: str, parameters: Mapping[str, Any]) -> None:
        """Load a model, or renew it from its files; the old one answers until the new one has.

        Parameters
        ----------
        name : str
            One of the configuration, or a directory below one of `control.roots`.
        parameters : mapping
            Of the request: `config`, fields of a model of the configuration in JSON.

        Raises
        ------
        Refusal
            It is not allowed, or the model cannot be served; what was served still is.
        """
        # Carried through, whoever leaves: sites must not differ.
        await asyncio.shield(self._controlled().load(name, parameters))

    async def unload(self, name: str) -> None:
        """Take a model away; requests that wait for it are answered.

        Raises
        ------
        Refusal
            It is not allowed, or there is none.
        """
        await asyncio.shield(self._controlled().unload(name))

    async def statistics(self) -> ServerCounts:
        """Return what happened to the requests of each name, in all processes of the server."""
        if self.control is not None:
            return await self.control.statistics()
        return ServerCounts.merged([self.counts()])

    def _controlled(self) -> Control:
        if self.control is None:
            raise not_now("explicit model load / unload is not allowed")
        return self.control
