"""What to serve, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Literal

from msgspec import Meta

from tvm_sparse.errors import ConfigError
from tvm_sparse.host import shares_of_cores, threads_here
from tvm_sparse.runtime.streams import threads_of_each
from tvm_sparse.serve.address_config import GrpcConfig, HttpConfig
from tvm_sparse.serve.model_config import TENSORS, ModelConfig
from tvm_sparse.words import counted


@dataclass(frozen=True)
class ControlConfig:
    """How what is served changes while it is served.

    Attributes
    ----------
    load_unload : bool
        Whether requests may load and unload models.
    roots : tuple of str
        Directories; artifacts below them may be loaded, beside those of `models`.
    watch : bool
        Whether to load what has changed: artifacts, and this file.
    """

    load_unload: bool = False
    roots: tuple[str, ...] = ()
    watch: bool = False


@dataclass(frozen=True)
class LogConfig:
    """What is written down.

    Attributes
    ----------
    access : bool
        Whether each request gets a line.
    format : {"json", "text"}
        Of the lines.
    file : str
        Where they go, at the end of what is there; standard error if empty.
    """

    access: bool = False
    format: Literal["json", "text"] = "json"
    file: str = ""


@dataclass(frozen=True)
class ServeConfig:
    """What to serve.

    Attributes
    ----------
    models : tuple of ModelConfig
        The models.
    http : HttpConfig
        Where to listen.
    grpc : GrpcConfig or None
        Where to listen for gRPC; None for nowhere.
    cores : int or None
        Threads for all kernels; None for every core.
    streams : {"shared", "latency", "throughput", "auto"} or int
        Runs at a time, which share the cores: as many as wait, one, one for each core, what was
        measured to be best, or so many.
    workers : int
        Processes that answer, which share the cores; streams are those of each.
    control : ControlConfig
        How what is served changes.
    log : LogConfig
        What is written down.
    """

    models: Annotated[tuple[ModelConfig, ...], Meta(min_length=1, max_length=1000)]
    http: HttpConfig = field(default_factory=HttpConfig)
    grpc: GrpcConfig | None = None
    cores: Annotated[int, Meta(ge=1, le=4096)] | None = None
    streams: (
        Literal["shared", "latency", "throughput", "auto"] | Annotated[int, Meta(ge=1, le=4096)]
    ) = "shared"
    workers: Annotated[int, Meta(ge=1, le=1024)] = 1
    control: ControlConfig = ControlConfig()
    log: LogConfig = LogConfig()

    def __post_init__(self) -> None:
        check_names(self.models)
        http, grpc = self.http, self.grpc
        if grpc and grpc.port and (http.host, http.port) == (grpc.host, grpc.port):
            raise ConfigError(f"grpc.port: {grpc.port} given, which is http.port: give another")

    def shares(self) -> list[tuple[int, list[int]]]:
        """Return how many cores each process has, and which; see `shares_of_cores`.

        Raises
        ------
        ConfigError
            This machine has fewer.
        """
        cores = threads_here(self.cores)
        if self.workers > cores:
            raise ConfigError(f"workers {self.workers} given: they share {counted(cores, 'core')}")
        return shares_of_cores(cores, self.workers)

    def threads(self) -> tuple[int, int]:
        """Return how many streams a process has, and how many threads each has.

        A run has one of them, those of `shared` excepted: it may have several.

        Raises
        ------
        ConfigError
            This machine has fewer cores, or fewer than workers or streams.
        """
        cores = min(count for count, _ in self.shares())
        named = {"shared": cores, "latency": 1, "throughput": cores, "auto": 1}
        streams = named[self.streams] if isinstance(self.streams, str) else self.streams
        return streams, threads_of_each(streams, cores)


def check_names(models: Iterable[ModelConfig]) -> None:
    """Refuse models that cannot be told apart.

    Raises
    ------
    ConfigError
        Two have the same name or route.
    """
    models = list(models)
    for what, values in (
        ("name", [name for one in models for name in (one.name, one.name + TENSORS)]),
        ("route", [one.path for one in models]),
    ):
        twice = {value for value in values if values.count(value) > 1}
        if twice:
            raise ConfigError(f"models: two have the {what} {min(twice)}: give each its own")
