"""What is kept of a model's outputs on texts: enough to judge them, small enough to keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import ConfigError
from tvm_sparse.text.tokens import Tokens

View = dict[str, NDArray[Any]]
#: Tasks that can be judged on texts.
TASKS = (
    *("encoder", "sequence-classification", "token-classification"),
    *("question-answering", "masked-lm"),
)
#: Positions of each text at which a masked language model's logits are kept: the vocabulary is
#: large, and neighbouring positions tell the same story.
_POSITIONS_PER_TEXT = 8
_NO_ANSWER = np.float32(-1e4)


def check_task(task: str) -> None:
    """Raise a ConfigError when a task cannot be judged on texts."""
    if task not in TASKS:
        raise ConfigError(f"a model for {task} given: fidelity on texts is for {', '.join(TASKS)}")


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
    input_names : tuple of str
        Inputs the model takes.
    batch : int
        Rows of one run.
    task : str
        One of `TASKS`.
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
        The task is none of `TASKS`.
    InputError
        The model takes something that is no text.
    """
    check_task(task)
    parts: list[View] = []
    done = 0
    for arrays, count in tokens.batches(input_names, batch):
        outputs = forward(arrays)
        mask = tokens.arrays["attention_mask"][done : done + count]
        parts.append(_view({n: v[:count] for n, v in outputs.items()}, mask, task))
        done += count
        progress(done / len(tokens))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def mean_pooled(hidden: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float32]:
    """Return sentence embeddings: the mean over the tokens that are no padding.

    Parameters
    ----------
    hidden : ndarray
        (n, seq_len, H) hidden states.
    mask : ndarray
        (n, seq_len), 1 where a token is.

    Returns
    -------
    ndarray of float32
        (n, H).
    """
    weights = mask.astype(np.float32)[:, :, None]
    total = (hidden * weights).sum(axis=1, dtype=np.float32)
    mean: NDArray[np.float32] = total / np.maximum(weights.sum(axis=1), 1)
    return mean


def _view(outputs: Mapping[str, NDArray[Any]], mask: NDArray[Any], task: str) -> View:
    if task == "encoder":
        return {"embeddings": mean_pooled(outputs["last_hidden_state"], mask)}
    if task == "sequence-classification":
        return {"logits": outputs["logits"]}
    if task == "question-answering":
        # Padding is no answer, whatever the model makes of it.
        names = ("start_logits", "end_logits")
        return {name: np.where(mask == 1, outputs[name], _NO_ANSWER) for name in names}
    logits = outputs["logits"]
    if task == "token-classification":
        return {"logits": logits[mask.astype(bool)]}
    rows = [logits[i, _positions(int(mask[i].sum()))] for i in range(len(mask))]
    return {"logits": np.concatenate(rows)}


def _positions(length: int) -> NDArray[np.int64]:
    """Return up to `_POSITIONS_PER_TEXT` positions spread over a text."""
    count = min(length, _POSITIONS_PER_TEXT)
    return np.arange(count) * length // count
