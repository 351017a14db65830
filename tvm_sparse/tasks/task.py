"""What a model is for: one object a task, with everything that depends on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.text.tokens import Tokens

#: What is kept of a model's outputs on texts, by name: enough to judge them, small enough to keep.
View = dict[str, NDArray[Any]]
#: The outputs of one run and its attention mask (n, seq_len) to what is kept of them.
MakeView = Callable[[Mapping[str, NDArray[Any]], NDArray[Any]], View]
#: The views of the dense and of the pruned model to measures: `loss`, and those of the task.
Compare = Callable[[View, View], dict[str, float]]
#: A view, labels (one a text), the texts and `config.json` to how often the model is right.
Score = Callable[[View, Sequence[str], Tokens, Mapping[str, Any]], dict[str, float]]


@dataclass(frozen=True)
class OnTexts:
    """How a task is judged on texts.

    Attributes
    ----------
    view
        What is kept of a run.
    compare
        How close two views are, without labels. `loss` is 0 for equal results, grows with every
        change, and adds up over small changes made in different layers: budgets are spent by it.
    measure, meaning
        The measure that is plotted, and what it is called.
    score
        How often a model is right; None where labels of one a text say nothing.
    """

    view: MakeView
    compare: Compare
    measure: str
    meaning: str
    score: Score | None = None


@dataclass(frozen=True)
class Task:
    """What a model is for.

    Attributes
    ----------
    name
        As facts, records and messages call it.
    endings
        Of the names of transformers' classes for it, such as `ForQuestionAnswering`.
    auto_class
        What transformers calls its table of classes: `MODEL_FOR_QUESTION_ANSWERING`.
    on_texts
        How it is judged on texts; None where they do not judge it.
    """

    name: str
    endings: tuple[str, ...]
    auto_class: str
    on_texts: OnTexts | None = None
