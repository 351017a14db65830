"""What the user asked for, as frozen dataclasses, validated once here.

Every stage takes one of these specs; none of them re-checks what is checked here. What can only
be known later (whether a model allows a sequence length, whether a block divides a weight) is
checked by the stage that learns it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, Literal, get_args

from tvm_sparse.errors import ConfigError, check_word

WeightsPolicy = Literal["auto", "checkpoint", "random"]
PruneMethod = Literal["auto", "none", "random", "magnitude"]
SelectMethod = Literal["auto", "threshold", "model", "measure"]
InputForm = Literal["full", "single"]
ImporterChoice = Literal["auto", "tensorflow", "torch", "onnx"]
QuantizeScheme = Literal["int8", "int8-fast"]
#: The importer that a spec asks for if it asks for none.
AUTO = "auto"
#: Calibration text that comes with this package.
BUILT_IN = "built-in"

_DEFAULT_THRESHOLD = 0.5
#: No size, count or seed is as large; whoever reckons with them may take them for 64-bit integers.
_TOO_MANY = 1 << 40

#: Tokens of the text that figures of an open model are for, if it takes as many.
NOMINAL_SEQ_LEN = 128
#: Tokens that a micro-batch has for each core, at least.
MICRO_BATCH_TOKENS = 192
#: Each is a copy of the model's program.
_MOST_MICRO_BATCHES = 16


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


def _require_whole(name: str, value: int, least: int = 1) -> None:
    _require(value >= least, f"{name} {value} given: it must be at least {least}")
    _require(value < _TOO_MANY, f"{name} {value} given: it must be less than {_TOO_MANY}")


class _Spec:
    """Shared behaviour of the frozen specs below."""

    def with_(self, **changes: Any) -> Any:
        """Return a copy with `changes` applied, validated again."""
        return replace(self, **changes)  # type: ignore[type-var]


@dataclass(frozen=True)
class ModelSpec(_Spec):
    """Which model, with which weights, at which shape.

    Parameters
    ----------
    model : str
        Preset name, hub id or local directory.
    weights : {"auto", "checkpoint", "random"}
        `auto` takes a checkpoint when one is cached or reachable and seeded weights otherwise.
    batch, seq_len : int
        Input shape (batch, seq_len) in sequences and tokens; the largest where it is open.
    seed : int
        Seed of the random weights.
    num_layers : int or None
        Keep only the first so many encoder layers; None keeps all.
    inputs : {"full", "single"}
        `full` takes every input the model uses, `single` only `input_ids`.
    micro_batch : int or None
        Sequences that go through the model together, a divisor of `batch`; None leaves it to the
        machine that imports the model, see `for_cores`.
    importer : str
        A key of `importers.registry.IMPORTERS`, or `auto` for the first of them that knows the
        model and is installed.
    is_open : bool
        Whether inputs of any batch and length up to these are taken.
    """

    model: str
    weights: WeightsPolicy = "auto"
    batch: int = 1
    seq_len: int = 128
    seed: int = 0
    num_layers: int | None = None
    inputs: InputForm = "full"
    micro_batch: int | None = None
    importer: str = AUTO
    is_open: bool = False

    def __post_init__(self) -> None:
        _require(bool(self.model), "no model given: pass a preset, a hub id or a directory")
        check_word("weights", self.weights, get_args(WeightsPolicy))
        check_word("inputs", self.inputs, get_args(InputForm))
        _require_whole("batch", self.batch)
        _require_whole("seq-len", self.seq_len)
        _require_whole("seed", self.seed, least=0)
        if self.num_layers is not None:
            _require_whole("layers", self.num_layers)
        _require(
            self.micro_batch is None
            or (self.micro_batch >= 1 and self.batch % self.micro_batch == 0),
            f"micro-batch {self.micro_batch} given: it must divide the batch, {self.batch}",
        )

    @property
    def nominal(self) -> tuple[int, int]:
        """The batch and length that figures of a model are for; of an open one a short text."""
        if not self.is_open:
            return self.batch, self.seq_len
        return 1, nominal_length(self.seq_len)

    def check_shapes(self, shapes: Iterable[tuple[int, int]]) -> None:
        """Refuse shapes (batch, seq_len) that a build of the model does not run at.

        Raises
        ------
        ConfigError
            If one is another than that of the model, or larger than an open one takes.
        """
        most = (self.batch, self.seq_len)
        for shape in shapes:
            fits = shape[0] <= most[0] and shape[1] <= most[1] if self.is_open else shape == most
            _require(
                fits,
                f"shape {shape[0]}x{shape[1]} given: the build is for "
                f"{'up to ' if self.is_open else ''}{most[0]}x{most[1]}",
            )

    def check_fixed(self, what: str) -> None:
        """Refuse an open model where one shape is needed.

        Raises
        ------
        ConfigError
            If it is open; `what` says what needs the shape.
        """
        _require(not self.is_open, f"{what} needs one shape: give --batch and --seq-len as numbers")

    def for_cores(self, cores: int) -> ModelSpec:
        """Return the spec with its micro-batch decided, for a machine of so many cores.

        What runs an open model splits its batches.
        """
        if self.is_open:
            return replace(self, micro_batch=self.batch)
        size = self.micro_batch or choose_micro_batch(self.batch, self.seq_len, cores)
        return replace(self, micro_batch=size)


@dataclass(frozen=True)
class SparsitySpec(_Spec):
    """How the weights become sparse and which layers run sparse.

    Parameters
    ----------
    sparsity : float
        Target block sparsity of the layers that are filled or pruned, 0..1.
    block_shape : (int, int)
        (bs_r, bs_c): rows along the outputs N, columns along the inputs K.
    sparsity_threshold : float or None
        A layer runs sparse when its `block_sparsity` at `block_shape` is at least this, 0..1;
        None is 0.5 where a threshold decides.
    select : {"auto", "threshold", "model", "measure"}
        What decides which layers run sparse: `threshold`; `model`, their times on this machine
        as the cost model predicts them; `measure`, those times measured on their own weights.
        `auto` is `threshold` where one is given or the build is for another machine, and `model`
        otherwise.
    prune : {"auto", "none", "random", "magnitude"}
        `none` keeps the zeros the weights have, `random` fills a seeded random block structure,
        `magnitude` removes the blocks of least L2 norm from the real weights; `auto` is `none`
        for weights that come pruned and `random` otherwise.
    seed : int
        Seed of the random structure.
    include, exclude : tuple of str
        Shell patterns on layer names; empty `include` means every eligible encoder layer.
    """

    sparsity: float = 0.95
    block_shape: tuple[int, int] = (1, 1)
    sparsity_threshold: float | None = None
    select: SelectMethod = "auto"
    prune: PruneMethod = "auto"
    seed: int = 0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _require(
            0.0 <= self.sparsity <= 1.0,
            f"sparsity {self.sparsity:g} given: it is a fraction between 0 and 1, "
            "for example 0.95 for 95 % zeros",
        )
        _require(
            0.0 <= self.threshold <= 1.0,
            f"threshold {self.threshold:g} given: it is a fraction between 0 and 1",
        )
        check_word("select", self.select, get_args(SelectMethod))
        _require(
            self.sparsity_threshold is None or self.select in ("auto", "threshold"),
            f"threshold {self.threshold:g} and select {self.select} given: a threshold decides "
            "only with --select threshold; leave one of them out",
        )
        _require(
            len(self.block_shape) == 2
            and min(self.block_shape) >= 1
            and max(self.block_shape) < _TOO_MANY,
            f"block shape {'x'.join(map(str, self.block_shape))} given: "
            "bs-r and bs-c must be at least 1 and divide the weights",
        )
        check_word("prune", self.prune, get_args(PruneMethod))
        _require_whole("seed", self.seed, least=0)

    @property
    def threshold(self) -> float:
        """The threshold, the default resolved."""
        given = self.sparsity_threshold
        return _DEFAULT_THRESHOLD if given is None else given


@dataclass(frozen=True)
class QuantizationSpec(_Spec):
    """How products are rounded to 8 bits.

    Parameters
    ----------
    scheme : {"int8", "int8-fast"}
        `int8` computes what integers give, to the bit; `int8-fast` leaves weights fewer steps where
        that lets a machine add up faster.
    calibration : str or None
        File with one passage a line, or `built-in`, by which inputs are smoothed; None for none.
    samples : int
        Passages to use, spread over the file.
    smoothing : float
        Which part of a feature's range goes into the weights, 0..1, on a logarithmic scale.
    max_error : float or None
        A layer whose outputs are off by more, relative in L2 norm, stays float32; None keeps none.
    rescale : bool
        Whether layers of weights that come quantised are rounded anew where their rows are too
        fine for the sums of a machine, instead of staying float32.
    """

    scheme: QuantizeScheme = "int8"
    calibration: str | None = None
    samples: int = 64
    smoothing: float = 0.5
    max_error: float | None = None
    rescale: bool = False

    def __post_init__(self) -> None:
        check_word("quantize", self.scheme, get_args(QuantizeScheme))
        _require_whole("samples", self.samples)
        _require(
            0.0 <= self.smoothing <= 1.0,
            f"smoothing {self.smoothing:g} given: it is a fraction between 0 and 1",
        )
        _require(
            self.max_error is None or 0.0 < self.max_error <= 1.0,
            f"int8-error {self.max_error or 0:g} given: it is a fraction of a layer's outputs, "
            "over 0 and at most 1, for example 0.05",
        )


@dataclass(frozen=True)
class CompileSpec(_Spec):
    """For which CPU to build.

    Parameters
    ----------
    target : str
        `native`, an x86-64 level (`x86-64-v2`, `x86-64-v3`, `x86-64-v4`; with `-vnni` or
        `-amx` also the instructions that builds of integers can use), or `aarch64`.
    threads : int or None
        Threads the build is laid out for and run with; None means every core of this machine.
    dump_ir : str or None
        Directory that receives the module after every phase.
    """

    target: str = "native"
    threads: int | None = None
    dump_ir: str | None = None

    def __post_init__(self) -> None:
        _require(
            self.threads is None or self.threads >= 1,
            f"threads {self.threads} given: it must be at least 1",
        )


@dataclass(frozen=True)
class BenchSpec(_Spec):
    """How long and how often to measure.

    Parameters
    ----------
    time_s : float
        Seconds of measuring per build, unless `iterations` is given.
    iterations : int or None
        Exact number of measured iterations per build.
    warmup_s : float
        Seconds of unmeasured iterations before, per build.
    streams : tuple of int, or "auto"
        Numbers of streams whose throughput is measured besides; `auto` is 1, 2, 4 and so on up to a
        stream a core.
    """

    time_s: float = 10.0
    iterations: int | None = None
    warmup_s: float = 1.0
    streams: tuple[int, ...] | Literal["auto"] = ()

    def __post_init__(self) -> None:
        _require(
            self.time_s > 0 and isfinite(self.time_s),
            f"time {self.time_s:g} given: it must be over 0 seconds, and finite",
        )
        if self.iterations is not None:
            _require_whole("iterations", self.iterations)
        _require(
            self.warmup_s >= 0 and isfinite(self.warmup_s),
            f"warmup {self.warmup_s:g} given: it must be 0 or more, and finite",
        )
        if isinstance(self.streams, str):
            check_word("streams", self.streams, ("auto",))
        else:
            for streams in self.streams:
                _require_whole("streams", streams)


def bench_spec(time_s: float = 10.0, warmup_s: float | None = None, **fields: Any) -> BenchSpec:
    """Return a spec that warms up for a second, or for a quarter of a shorter measurement.

    Parameters
    ----------
    time_s, warmup_s, **fields
        As `BenchSpec` takes them; None for that warm-up.
    """
    return BenchSpec(
        time_s, warmup_s=min(1.0, time_s / 4) if warmup_s is None else warmup_s, **fields
    )


def nominal_length(most: int) -> int:
    """Return the tokens of the text that figures of a model are for which takes up to `most`."""
    return min(most, NOMINAL_SEQ_LEN)


def choose_micro_batch(batch: int, seq_len: int, cores: int) -> int:
    """Return how many sequences should go through a model together.

    As few as give every core some token tiles: their activations then stay in its caches from one
    layer to the next.

    Parameters
    ----------
    batch : int
        Sequences of an inference.
    seq_len : int
        Tokens of a sequence.
    cores : int
        Cores of the machine the model is to run on.

    Returns
    -------
    int
        A divisor of `batch`.
    """
    least = max(MICRO_BATCH_TOKENS * cores / seq_len, batch / _MOST_MICRO_BATCHES)
    sizes = (batch // n for n in range(_MOST_MICRO_BATCHES, 0, -1) if batch % n == 0)
    return next(size for size in sizes if size >= least or size == batch)
