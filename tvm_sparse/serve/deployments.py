"""The models that a process serves: how they come, are replaced by newer ones, and go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tvm_sparse.serve.deployment import Deployment, Route, deploy
from tvm_sparse.serve.model_config import ModelConfig
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.statistics import Statistics
from tvm_sparse.serve.streams import Streams


@dataclass
class Deployments:
    """The models that a process serves.

    Attributes
    ----------
    expected, expected_paths : set of str
        Names and paths of models that are not loaded yet.
    models : dict of str to ServedModel
        By name.
    routes : dict of str to Route
        By path.
    faults : dict of str to str
        Why models are not there, or are not those that their files hold now.
    threads, streams : int, Streams
        Of a run at most, and where runs wait.
    """

    expected: set[str] = field(default_factory=set)
    expected_paths: set[str] = field(default_factory=set)
    models: dict[str, ServedModel] = field(default_factory=dict)
    routes: dict[str, Route] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    threads: int = 1
    streams: Streams = field(default_factory=lambda: Streams(1))
    _counts: dict[str, Statistics] = field(default_factory=dict)
    _prepared: dict[str, Deployment] = field(default_factory=dict)
    _deployed: dict[str, Deployment] = field(default_factory=dict)

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

    def counts(self) -> dict[str, Statistics]:
        """Return what happened to the requests of each name, in this process."""
        return {name: model.statistics for name, model in self.models.items()}

    def close(self) -> None:
        """Let the threads of all models end."""
        for model in self.models.values():
            model.close()
