"""A class for every token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.tasks.measures import compare_classes
from tvm_sparse.tasks.task import OnTexts, Task, View


def _view(outputs: Mapping[str, NDArray[Any]], mask: NDArray[Any]) -> View:
    return {"logits": outputs["logits"][mask.astype(bool)]}


TASK = Task(
    "token-classification",
    ("ForTokenClassification",),
    "MODEL_FOR_TOKEN_CLASSIFICATION",
    OnTexts(_view, compare_classes, "agreement", "same class"),
)
