"""The word behind a mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.tasks.measures import compare_classes
from tvm_sparse.tasks.task import OnTexts, Task, View

#: Positions of each text at which logits are kept: the vocabulary is large, and neighbouring
#: positions tell the same story.
_POSITIONS_PER_TEXT = 8


def _view(outputs: Mapping[str, NDArray[Any]], mask: NDArray[Any]) -> View:
    logits = outputs["logits"]
    rows = [logits[i, _positions(int(mask[i].sum()))] for i in range(len(mask))]
    return {"logits": np.concatenate(rows)}


def _positions(length: int) -> NDArray[np.int64]:
    """Return up to `_POSITIONS_PER_TEXT` positions spread over a text."""
    count = min(length, _POSITIONS_PER_TEXT)
    return np.arange(count) * length // count


TASK = Task(
    "masked-lm",
    ("ForMaskedLM",),
    "MODEL_FOR_MASKED_LM",
    OnTexts(_view, compare_classes, "agreement", "same token"),
)
