"""The record of one evaluation, and its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tvm_sparse.bench.environment import Environment
from tvm_sparse.model.facts import WeightsFacts


@dataclass(frozen=True)
class EvaluatedModel:
    """One of the two models.

    Attributes
    ----------
    name : str
        As the user named it.
    kind : {"model", "artifact"}
        Whether it was compiled for the evaluation or comes exported.
    weights : WeightsFacts
        Where its weights come from.
    seeded : bool
        Whether they are made up, so that the evaluation says nothing of a real model.
    scores : dict of str to float
        Against labels; empty without.
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
    task : str
        What the models are for.
    reference, candidate : EvaluatedModel
        The dense and the pruned model.
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
