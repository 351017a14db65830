"""Classes that the model was not made for, by whether a text entails them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import InputError
from tvm_sparse.text.labels import class_names
from tvm_sparse.text.scores import softmax
from tvm_sparse.text.text_model import TextModel, as_list

_TEMPLATE = "This example is {}."


class ZeroShotClassification:
    """Says which of any classes a text is of, by a model for natural language inference.

    Parameters
    ----------
    model : TextModel
        A model for classes of pairs of texts; the name of one of them begins with `entail`.

    Raises
    ------
    InputError
        None does.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self._entailment = _entailment_id(model.description.config)

    def __call__(
        self,
        texts: str | Iterable[str],
        candidate_labels: str | Sequence[str],
        *,
        hypothesis_template: str = _TEMPLATE,
        multi_label: bool = False,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """Return the classes of texts.

        Parameters
        ----------
        texts : str or iterable of str
            One text, or several.
        candidate_labels : str or sequence of str
            The classes; in one text commas separate them.
        hypothesis_template : str
            What a text may entail; {} stands for the class.
        multi_label : bool
            Whether several classes may be right: their scores are independent then.

        Returns
        -------
        dict, or a list of dict for several texts
            `sequence`, the text, `labels`, the likeliest first, and their `scores`.

        Raises
        ------
        InputError
            A text is empty, there are no classes, or none in the template.
        """
        given, many = as_list(texts)
        labels, hypotheses = hypotheses_of(candidate_labels, hypothesis_template)
        for text in given:
            if not text:
                raise InputError("an empty text given: it has no class")
        logits = [outputs["logits"] for outputs in self._model.run_with_each(given, hypotheses)]
        found = []
        count = len(labels)
        for index, text in enumerate(given):
            rows = np.stack(logits[index * count : (index + 1) * count])
            scores = self._scores(rows, multi_label or len(labels) == 1)
            best = scores.argsort()[::-1]
            found.append(
                {
                    "sequence": text,
                    "labels": [labels[i] for i in best],
                    "scores": [float(scores[i]) for i in best],
                }
            )
        return found if many else found[0]

    def _scores(self, logits: NDArray[Any], independent: bool) -> NDArray[np.float32]:
        """Return a score for each of the labels, whose logits are (labels, classes)."""
        if not independent:
            return softmax(logits[:, self._entailment])
        # As transformers has it: the first class that is not entailment, or the last.
        contradiction = -1 if self._entailment == 0 else 0
        return softmax(logits[:, [contradiction, self._entailment]])[:, 1]


def hypotheses_of(
    candidate_labels: str | Sequence[str], hypothesis_template: str = _TEMPLATE
) -> tuple[list[str], list[str]]:
    """Return the classes that are given, and what a text of each entails.

    Raises
    ------
    InputError
        There are no classes, or none in the template.
    """
    labels = _labels(candidate_labels)
    return labels, [_hypothesis(hypothesis_template, label) for label in labels]


def _entailment_id(config: dict[str, Any]) -> int:
    numbers = config.get("label2id")
    if not numbers:
        names = class_names(config, len(config.get("id2label") or {}))
        numbers = {name: i for i, name in enumerate(names)}
    for name, number in numbers.items():
        if name.lower().startswith("entail"):
            return int(number)
    raise InputError(
        f"the model's classes are {', '.join(numbers) or 'without names'}: a model for zero-shot "
        "classification has one that begins with entail"
    )


def _labels(given: str | Sequence[str]) -> list[str]:
    split = given.split(",") if isinstance(given, str) else given
    labels = [label.strip() for label in split] if isinstance(given, str) else list(given)
    labels = [label for label in labels if label]
    if not labels:
        raise InputError("no candidate_labels given: name the classes, for example sports,politics")
    return labels


def _hypothesis(template: str, label: str) -> str:
    try:
        hypothesis = template.format(label)
    except (LookupError, ValueError):
        hypothesis = template
    if hypothesis == template:
        raise InputError(f"hypothesis_template {template!r} given: {{}} must stand for the class")
    return hypothesis
