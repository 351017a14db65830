"""What can be asked of a model: every task there is, and the models it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tvm_sparse.errors import ConfigError, check_word
from tvm_sparse.model.facts import ModelDescription
from tvm_sparse.text.feature_extraction import FeatureExtraction
from tvm_sparse.text.fill_mask import FillMask
from tvm_sparse.text.question_answering import QuestionAnswering
from tvm_sparse.text.sentence_embedding import SentenceEmbedding
from tvm_sparse.text.text_classification import TextClassification
from tvm_sparse.text.text_model import TextModel
from tvm_sparse.text.text_ranking import TextRanking
from tvm_sparse.text.token_classification import TokenClassification
from tvm_sparse.text.zero_shot_classification import ZeroShotClassification

#: Called with what is asked, it returns the answers.
Pipeline = Callable[..., Any]


@dataclass(frozen=True)
class TextTask:
    """Something to ask of a model.

    Attributes
    ----------
    make : callable
        Makes its pipeline.
    model : str
        The task of models that it is for, a key of `tasks.registry.TASKS`.
    """

    make: Callable[[TextModel], Pipeline]
    model: str


#: By the names that transformers and the Hugging Face hub have for them. The first for a model is
#: what it is asked by default.
TEXT_TASKS = {
    "sentence-embedding": TextTask(SentenceEmbedding, "encoder"),
    "feature-extraction": TextTask(FeatureExtraction, "encoder"),
    "text-classification": TextTask(TextClassification, "sequence-classification"),
    "zero-shot-classification": TextTask(ZeroShotClassification, "sequence-classification"),
    "text-ranking": TextTask(TextRanking, "sequence-classification"),
    "token-classification": TextTask(TokenClassification, "token-classification"),
    "question-answering": TextTask(QuestionAnswering, "question-answering"),
    "fill-mask": TextTask(FillMask, "masked-lm"),
}
ALIASES = {
    "ner": "token-classification",
    "sentence-similarity": "sentence-embedding",
    "sentiment-analysis": "text-classification",
}


def choose_task(description: ModelDescription, task: str | None = None) -> str:
    """Return the name of a task, a key of `TEXT_TASKS`.

    Parameters
    ----------
    description : ModelDescription
        Of the model that is asked.
    task : str or None
        That name or another one for it; None for what the model is for.

    Raises
    ------
    ConfigError
        There is no such task, or the model is not for it.
    """
    kind = description.task
    able = [name for name, one in TEXT_TASKS.items() if one.model == kind]
    if not able:
        raise ConfigError(f"a model for {kind} given: it answers no questions about texts")
    if task is None:
        return able[0]
    name = ALIASES.get(task, task)
    check_word("task", name, TEXT_TASKS)
    if name not in able:
        raise ConfigError(
            f"task {task} given, {description.name} is a model for {kind}: use "
            f"{' or '.join(able)}, or a model for {TEXT_TASKS[name].model}"
        )
    return name
