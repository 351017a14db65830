"""What `pruning.json` says; free of TVM."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tvm_sparse.fidelity.sensitivity_record import Sensitivity
from tvm_sparse.model.facts import WeightsFacts
from tvm_sparse.training.facts import TrainingFacts


@dataclass(frozen=True)
class LayerResult:
    """What became of one layer.

    Attributes
    ----------
    weight : str
        Canonical name.
    shape : (int, int)
        (N, K).
    blocks, zero_blocks : int
        Its blocks, and how many of them are zero now.
    element_sparsity, block_sparsity : float
        Shares of zeros, 0..1.
    output_error : float or None
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
    source : str
        A file, the built-in text, or random ids.
    passages, truncated : int
        Number of passages, and how many were cut.
    seq_len, tokens : int
        Tokens of every passage, padding included, and of all of them without it.
    """

    source: str
    passages: int
    truncated: int
    seq_len: int
    tokens: int

    def __str__(self) -> str:
        cut = f", {self.truncated} cut at {self.seq_len} tokens" if self.truncated else ""
        return f"{self.source}: {self.passages} passages, {self.tokens} tokens{cut}"


@dataclass(frozen=True)
class FinetuneFacts:
    """How pruned weights were trained.

    Attributes
    ----------
    text : CalibrationFacts
        On which texts.
    training : TrainingFacts
        How it went.
    method : {"distill"}
        Against the dense model's outputs.
    """

    text: CalibrationFacts
    training: TrainingFacts
    method: Literal["distill"] = "distill"


@dataclass(frozen=True)
class PruningReport:
    """What was pruned, and what became of it.

    Attributes
    ----------
    tvm_sparse : str
        Version that pruned it.
    model, architecture : str
        Name, and class of transformers without the leading TF.
    weights : WeightsFacts
        Where the weights came from, with their fingerprint.
    spec : dict
        Every option.
    calibration : CalibrationFacts or None
        The text, where one was needed.
    element_sparsity, block_sparsity : float
        Shares of zeros in all pruned layers together, 0..1.
    layers : tuple of LayerResult
        The pruned layers.
    kept_dense : dict of str to str
        Why each other dense layer stays as it is.
    sensitivity : Sensitivity or None
        What the schedule `auto` measured.
    finetune : FinetuneFacts or None
        How the weights were trained afterwards, if they were.
    files : tuple of str
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
