"""The record of one evaluation, and its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tvm_sparse.bench.environment import Environment


@dataclass(frozen=True)
class EvaluationRecord:
    """How close a model is to another on texts.

    Attributes
    ----------
    task : str
        What the models are for.
    reference, candidate : dict
        Of the dense and the pruned model: `name`, `kind` (`model` or `artifact`), `weights`,
        `seeded` (whether the weights mean nothing), `scores` against labels (empty without).
    measures : dict of str to float
        See `compare.compare`.
    texts, truncated : int
        Number of texts, and how many were cut to `seq_len` tokens.
    seq_len : int
        Tokens of every text, padding included.
    text_source, labels_source : str or None
        Files.
    seconds : float
        Time for running both models.
    environment : Environment
        Where it ran.
    """

    schema_version: Literal[1] = field(default=1, kw_only=True)
    task: str
    reference: dict[str, Any]
    candidate: dict[str, Any]
    measures: dict[str, float]
    texts: int
    truncated: int
    seq_len: int
    seconds: float
    environment: Environment
    text_source: str | None = None
    labels_source: str | None = None
