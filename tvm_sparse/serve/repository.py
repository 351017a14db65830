"""The models that are served, by name: how they come, are replaced by newer ones, and go."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tvm_sparse.host import neighbouring_cores
from tvm_sparse.serve.access_log import AccessLog
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.deployment import Deployment, Route, deploy
from tvm_sparse.serve.model_config import TENSORS, ModelConfig
from tvm_sparse.serve.refusal import Refusal, not_now
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.statistics import ServerCounts, Statistics
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
class Repository:
    """What a process serves.

    Attributes
    ----------
    expected, expected_paths : set of str
        Names and paths of models that are not loaded yet.
    models : dict of str to ServedModel
        By name.
    routes : dict of str to Route
        By path.
    config : ServeConfig or None
        What was to be served in the beginning.
    faults : dict of str to str
        Why models are not there, or are not those that their files hold now.
    control : Control or None
        Who may change what is served.
    access_log : AccessLog or None
        Where requests are written down.
    threads, streams : int, Streams
        Of a run at most, and where runs wait.
    """

    expected: set[str] = field(default_factory=set)
    expected_paths: set[str] = field(default_factory=set)
    models: dict[str, ServedModel] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    config: ServeConfig | None = None
    faults: dict[str, str] = field(default_factory=dict)
    control: Control | None = None
    access_log: AccessLog | None = None
    threads: int = 1
    streams: Streams = field(default_factory=lambda: Streams(1))
    _counts: dict[str, Statistics] = field(default_factory=dict)
    _prepared: dict[str, Deployment] = field(default_factory=dict)
    _deployed: dict[str, Deployment] = field(default_factory=dict)

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

    def counts(self) -> dict[str, Statistics]:
        """Return what happened to the requests of each name, in this process."""
        return {name: model.statistics for name, model in self.models.items()}

    def prepare(self, one: ModelConfig, where: str, directory: str = "") -> None:
        """Load a model beside what is served, and have it answer once; takes its time.

        Parameters
        ----------
        one : ModelConfig
            The model.
        where : str
            Its place in the configuration, for messages.
        directory : str
            A copy of its artifact, to be loaded instead.

        Raises
        ------
        ArtifactError, ConfigError, DependencyError, InputError
            It cannot be served.
        """
        self._prepared.pop(one.name, None)
        copied = replace(one, model=directory or one.model)
        new = deploy(copied, where, self.threads, self.streams, self._counts)
        self._prepared[one.name] = replace(new, config=one)

    def abandon(self, names: Iterable[str], faults: Mapping[str, str]) -> None:
        """Forget what was prepared, if something was.

        Parameters
        ----------
        names : iterable of str
            Of the models.
        faults : mapping of str to str
            Why, for the index: of those that are served as they were.
        """
        for name in names:
            self._prepared.pop(name, None)
        self.faults.update({name: why for name, why in faults.items() if name in self._deployed})

    def commit(self, name: str) -> None:
        """Have what was prepared take the requests from now on."""
        new, old = self._prepared.pop(name), self._deployed.get(name)
        for served in new.served:
            before = self.models.get(served.name)
            if before is not None:
                served.succeed(before)
            self.models[served.name] = served
        if old is not None:
            self._remove(old, {served.name for served in new.served})
        if new.route is not None:
            self.routes[new.config.path] = new.route
        self._deployed[name] = new
        self.expected.discard(name)
        self.expected_paths.discard(new.config.path)
        self.faults.pop(name, None)

    def retire(self, name: str, reason: str) -> None:
        """Take a model away; what waits for it is answered.

        Parameters
        ----------
        name : str
            Of a model that is there.
        reason : str
            Why, for the index; empty if it is to be forgotten.
        """
        self._remove(self._deployed.pop(name), set())
        if reason:
            self.faults[name] = reason

    def _remove(self, old: Deployment, keep: set[str]) -> None:
        """Take the names of an old model away, those excepted that a new one has."""
        for served in old.served:
            if served.name not in keep:
                self.models.pop(served.name).close()
                self._counts.pop(served.name, None)
        if old.route is not None and self.routes.get(old.config.path) is old.route:
            del self.routes[old.config.path]

    def _controlled(self) -> Control:
        if self.control is None:
            raise not_now("explicit model load / unload is not allowed")
        return self.control

    def close(self) -> None:
        """Let the threads of all models end."""
        for model in self.models.values():
            model.close()
