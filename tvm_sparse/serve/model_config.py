"""A model to serve, as a configuration says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from tvm_sparse.config.quantization import QuantizeScheme

#: Behind the name of a model of texts, the name under which it takes tensors.
TENSORS = "-tensors"

# They stand in addresses.
_Name = Annotated[str, Meta(pattern=r"^(?!.*\n)[A-Za-z0-9_][\w.-]{0,99}$")]
_Route = Annotated[str, Meta(pattern=r"^(?!.*\n)[\w./-]{0,200}$")]


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
    quantize, calibration, int8_error : str, str, float or None
        What its products are rounded to, the texts that smooth inputs, and the error from which
        layers stay float32.
    rescale : bool
        Whether weights that come quantised are rounded anew where that is faster.
    """

    seq_len: str | int = "1:512"
    batch: str | int = "1:32"
    sparsity: Annotated[float, Meta(ge=0, le=1)] | None = None
    bs_r: Annotated[int, Meta(ge=1)] | None = None
    bs_c: Annotated[int, Meta(ge=1)] | None = None
    prune: Literal["auto", "none", "random", "magnitude"] | None = None
    select: Literal["auto", "threshold", "model", "measure"] | None = None
    build: Literal["sparse", "dense"] = "sparse"
    quantize: QuantizeScheme | None = None
    calibration: str | None = None
    int8_error: Annotated[float, Meta(gt=0, le=1)] | None = None
    rescale: bool = False


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
