"""Which model, with which weights, at which shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tvm_sparse.config.micro_batches import choose_micro_batch, nominal_length
from tvm_sparse.config.spec import Spec, require, require_whole
from tvm_sparse.errors import check_word

WeightsPolicy = Literal["auto", "checkpoint", "random"]
InputForm = Literal["full", "single"]
ImporterChoice = Literal["auto", "tensorflow", "torch", "onnx"]
#: The importer that a spec asks for if it asks for none.
AUTO = "auto"


@dataclass(frozen=True)
class ModelSpec(Spec):
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
        require(bool(self.model), "no model given: pass a preset, a hub id or a directory")
        check_word("weights", self.weights, get_args(WeightsPolicy))
        check_word("inputs", self.inputs, get_args(InputForm))
        require_whole("batch", self.batch)
        require_whole("seq-len", self.seq_len)
        require_whole("seed", self.seed, least=0)
        if self.num_layers is not None:
            require_whole("layers", self.num_layers)
        require(
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
            require(
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
        require(not self.is_open, f"{what} needs one shape: give --batch and --seq-len as numbers")

    def for_cores(self, cores: int) -> ModelSpec:
        """Return the spec with its micro-batch decided, for a machine of so many cores.

        What runs an open model splits its batches.
        """
        if self.is_open:
            return replace(self, micro_batch=self.batch)
        size = self.micro_batch or choose_micro_batch(self.batch, self.seq_len, cores)
        return replace(self, micro_batch=size)
