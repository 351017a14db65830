"""What is kept of a model's outputs on texts, and how close that of two models is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.tasks.registry import TASKS, on_texts
from tvm_sparse.tasks.task import View
from tvm_sparse.text.tokens import Tokens


def collect(
    forward: Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]],
    tokens: Tokens,
    input_names: tuple[str, ...],
    batch: int,
    task: str,
    progress: Callable[[float], None] = lambda share: None,
) -> View:
    """Run a model on all texts and keep what its task is judged by.

    Parameters
    ----------
    forward : callable
        Inputs of one run to outputs by name.
    tokens : Tokens
        The texts, at the model's sequence length.
    input_names, batch
        Inputs the model takes, and rows of one run.
    task : str
        A key of `TASKS`.
    progress : callable
        Receives the finished share, 0..1.

    Returns
    -------
    dict of str to ndarray
        float32, one row a text (or a position): `embeddings` (n, H); `logits` (n, C); or
        `start_logits` and `end_logits` (n, seq_len).

    Raises
    ------
    ConfigError
        Texts do not judge the task.
    InputError
        The model takes something that is no text.
    """
    view = on_texts(task).view
    parts: list[View] = []
    done = 0
    for arrays, count in tokens.batches(input_names, batch):
        outputs = forward(arrays)
        mask = tokens.arrays["attention_mask"][done : done + count]
        parts.append(view({n: v[:count] for n, v in outputs.items()}, mask))
        done += count
        progress(done / len(tokens))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def compare(task: str, reference: View, candidate: View) -> dict[str, float]:
    """Return the `loss` and the measures of a task between what `collect` kept of two models.

    Raises
    ------
    InputError
        The two have different shapes: they are no versions of one model.
    """
    for name, value in reference.items():
        found = candidate[name].shape if name in candidate else "nothing"
        if found != value.shape:
            raise InputError(
                f"the models give {name} of shapes {value.shape} and {found}: only versions of "
                "one model can be compared"
            )
    return on_texts(task).compare(reference, candidate)


def score(
    task: str, view: View, labels: Sequence[str], tokens: Tokens, config: Mapping[str, Any]
) -> dict[str, float]:
    """Compare what `collect` kept of a model with labels, one a text.

    A label is a class by name or number, a number for a regression, or an answer's words. `config`
    is the model's `config.json`: the names of its classes.

    Raises
    ------
    ConfigError
        The task has no labels of one a text.
    InputError
        A label is no class of the model, or no number.
    """
    rate = on_texts(task).score
    if rate is None:
        known = [t.name for t in TASKS.values() if t.on_texts is not None and t.on_texts.score]
        raise ConfigError(
            f"--labels given for a model for {task}: labels of one a line are for "
            f"{' and '.join(known)}"
        )
    return rate(view, labels, tokens, config)
