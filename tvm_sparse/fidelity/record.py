"""The record of one evaluation, and its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tvm_sparse.bench.environment import Environment
from tvm_sparse.model.facts import WeightsFacts


@dataclass(frozen=True)
class EvaluatedModel:
    """One of the two models, as the user named it, compiled for the evaluation or exported.

    `seeded` weights are made up, so that the evaluation says nothing of a real model. `scores` are
    against labels; empty without.
    """

    name: str
    kind: Literal["model", "artifact"]
    weights: WeightsFacts
    seeded: bool
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationRecord:
    """How close a model is to another on texts.

    Attributes
    ----------
    task
        What the models are for.
    reference, candidate
        The dense and the pruned model.
    measures
        See `views.compare`.
    texts, truncated, seq_len
        Number of texts, how many were cut to `seq_len` tokens; padding counts among these.
    seconds, environment
        Time for running both models, and where they ran.
    text_source, labels_source
        Files.
    """

    schema_version: Literal[1] = field(default=1, kw_only=True)
    task: str
    reference: EvaluatedModel
    candidate: EvaluatedModel
    measures: dict[str, float]
    texts: int
    truncated: int
    seq_len: int
    seconds: float
    environment: Environment
    text_source: str | None = None
    labels_source: str | None = None
