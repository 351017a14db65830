"""What to serve, and how."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from tvm_sparse.errors import ConfigError
from tvm_sparse.host import shares_of_cores, threads_here
from tvm_sparse.runtime.streams import threads_of_each
from tvm_sparse.words import counted

PORT, GRPC_PORT = 5543, 8001
LOOPBACK = "127.0.0.1"
#: Behind the name of a model of texts, the name under which it takes tensors.
TENSORS = "-tensors"

# They stand in addresses.
_Name = Annotated[str, Meta(pattern=r"^(?!.*\n)[A-Za-z0-9_][\w.-]{0,99}$")]
_Route = Annotated[str, Meta(pattern=r"^(?!.*\n)[\w./-]{0,200}$")]


@dataclass(frozen=True)
class HttpConfig:
    """Where to listen.

    Attributes
    ----------
    host : str
        Address of this machine; by default only this machine itself can reach the server.
    port : int
        Port; 0 for one that is free.
    max_body_mb : int
        Largest body of a request, unpacked, in MB.
    """

    host: str = LOOPBACK
    port: Annotated[int, Meta(ge=0, le=65535)] = PORT
    max_body_mb: Annotated[int, Meta(ge=1, le=4096)] = 64


@dataclass(frozen=True)
class GrpcConfig:
    """Where to listen for gRPC.

    Attributes
    ----------
    host : str
        Address of this machine.
    port : int
        Port; 0 for one that is free.
    max_message_mb : int
        Largest message, unpacked, in MB.
    """

    host: str = LOOPBACK
    port: Annotated[int, Meta(ge=0, le=65535)] = GRPC_PORT
    max_message_mb: Annotated[int, Meta(ge=1, le=2047)] = 64


@dataclass(frozen=True)
class QueueConfig:
    """How requests wait for a model.

    Attributes
    ----------
    max_size : int
        Requests that are waiting or answered at a time; further ones are refused.
    timeout_ms : int
        What has not begun to be computed after so many milliseconds is refused.
    max_delay_us : int
        Microseconds to wait for further requests that could share a run.
    """

    max_size: Annotated[int, Meta(ge=1, le=100_000)] = 128
    timeout_ms: Annotated[int, Meta(ge=1, le=3_600_000)] = 10_000
    max_delay_us: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


@dataclass(frozen=True)
class ExportConfig:
    """How to export what is no artifact; as the options of `tvm-sparse export` that are called so.

    Attributes
    ----------
    seq_len, batch : str or int
        The shapes; any by default.
    sparsity, bs_r, bs_c, prune : float, int, int, str or None
        The zeros to reach; without a sparsity the weights keep those they have.
    select : str or None
        What decides which layers run sparse.
    build : {"sparse", "dense"}
        Which build.
    """

    seq_len: str | int = "1:512"
    batch: str | int = "1:32"
    sparsity: Annotated[float, Meta(ge=0, le=1)] | None = None
    bs_r: Annotated[int, Meta(ge=1)] | None = None
    bs_c: Annotated[int, Meta(ge=1)] | None = None
    prune: Literal["auto", "none", "random", "magnitude"] | None = None
    select: Literal["auto", "threshold", "model", "measure"] | None = None
    build: Literal["sparse", "dense"] = "sparse"


@dataclass(frozen=True)
class ModelConfig:
    """A model to serve.

    Attributes
    ----------
    name : str
        What requests call it.
    model : str
        Its artifact directory, or what `tvm-sparse run` takes: that is exported first.
    task : str or None
        What it is asked, a key of `text.pipelines.TEXT_TASKS`; None for what it is for.
    route : str
        POST /predict/<route> asks it too; its name if empty.
    queue : QueueConfig
        How requests wait.
    options : dict
        Of the task's pipeline, for every request.
    export : ExportConfig or None
        How to export it; needed where `model` is an id of the hub.
    """

    name: _Name
    model: str
    task: str | None = None
    route: _Route = ""
    queue: QueueConfig = QueueConfig()
    options: dict[str, Any] = field(default_factory=dict)
    export: ExportConfig | None = None

    @property
    def path(self) -> str:
        """Where pipeline requests are posted: /predict/<route>."""
        route = (self.route or self.name).strip("/")
        return f"/{route}" if route.split("/")[0] == "predict" else f"/predict/{route}"


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
    streams : {"latency", "throughput", "auto"} or int
        Runs at a time, which share the cores: one, one for each core, what was measured
        to be best, or so many.
    workers : int
        Processes that answer, which share the cores; streams are those of each.
    control : ControlConfig
        How what is served changes.
    log : LogConfig
        What is written down.
    """

    models: Annotated[tuple[ModelConfig, ...], Meta(min_length=1, max_length=1000)]
    http: HttpConfig = HttpConfig()
    grpc: GrpcConfig | None = None
    cores: Annotated[int, Meta(ge=1, le=4096)] | None = None
    streams: Literal["latency", "throughput", "auto"] | Annotated[int, Meta(ge=1, le=4096)] = (
        "latency"
    )
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
        """Return how many runs a process has at a time, and how many threads each has.

        Raises
        ------
        ConfigError
            This machine has fewer cores, or fewer than workers or streams.
        """
        cores = min(count for count, _ in self.shares())
        named = {"latency": 1, "throughput": cores, "auto": 1}
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
