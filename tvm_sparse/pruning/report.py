"""What `pruning.json` says; free of TVM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tvm_sparse.fidelity.sensitivity_record import Sensitivity
from tvm_sparse.model.facts import WeightsFacts
from tvm_sparse.training.facts import TrainingFacts
from tvm_sparse.words import counted


@dataclass(frozen=True)
class LayerResult:
    """What became of one layer.

    Attributes
    ----------
    weight, shape
        Canonical name; (N, K).
    blocks, zero_blocks
        Its blocks, and how many of them are zero now.
    element_sparsity, block_sparsity
        Shares of zeros, 0..1.
    output_error
        Squared error of its outputs over their squared size, on the inputs it was pruned for;
        None where no Hessian was collected.
    """

    weight: str
    shape: tuple[int, int]
    blocks: int
    zero_blocks: int
    element_sparsity: float
    block_sparsity: float
    output_error: float | None


@dataclass(frozen=True)
class CalibrationFacts:
    """The texts that pruning or training ran on.

    Attributes
    ----------
    source
        A file, the built-in text, or random ids.
    passages, truncated
        Number of passages, and how many were cut.
    seq_len, tokens
        Tokens of every passage, padding included, and of all of them without it.
    """

    source: str
    passages: int
    truncated: int
    seq_len: int
    tokens: int

    def __str__(self) -> str:
        cut = f", {self.truncated} cut at {self.seq_len} tokens" if self.truncated else ""
        passages, tokens = counted(self.passages, "passage"), counted(self.tokens, "token")
        return f"{self.source}: {passages}, {tokens}{cut}"


@dataclass(frozen=True)
class FinetuneFacts:
    """How pruned weights were trained: against the dense model's outputs, on which texts."""

    text: CalibrationFacts
    training: TrainingFacts
    method: Literal["distill"] = "distill"


@dataclass(frozen=True)
class PruningReport:
    """What was pruned, and what became of it.

    Attributes
    ----------
    tvm_sparse
        Version that pruned it.
    model, architecture
        Name, and class of transformers without the leading TF.
    weights
        Where they came from, with their fingerprint.
    spec
        Every option.
    calibration
        The text, where one was needed.
    element_sparsity, block_sparsity
        Shares of zeros in all pruned layers together, 0..1.
    layers, kept_dense
        The pruned layers; why each other dense layer stays as it is.
    sensitivity
        What the schedule `auto` measured.
    finetune
        How the weights were trained afterwards, if they were.
    files
        The other files of the directory.
    """

    schema_version: Literal[2] = field(default=2, kw_only=True)
    tvm_sparse: str
    model: str
    architecture: str
    weights: WeightsFacts
    spec: dict[str, Any]
    calibration: CalibrationFacts | None
    element_sparsity: float
    block_sparsity: float
    layers: tuple[LayerResult, ...]
    kept_dense: dict[str, str]
    sensitivity: Sensitivity | None = None
    finetune: FinetuneFacts | None = None
    files: tuple[str, ...] = ()
