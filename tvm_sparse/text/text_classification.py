"""Classes, or a number, for a text or a pair of texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import InputError, check_word
from tvm_sparse.text.labels import class_names
from tvm_sparse.text.scores import sigmoid, softmax
from tvm_sparse.text.text_model import Example, TextModel, as_list

Text = str | dict[str, str]
_FUNCTIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "softmax": softmax,
    "sigmoid": sigmoid,
    "none": np.asarray,
}
_KEYS = {"text", "text_pair"}
_NOT_GIVEN: Any = object()


class TextClassification:
    """Says which class a text is of.

    Parameters
    ----------
    model : TextModel
        A model for classes of texts.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self._config = model.description.config

    def __call__(
        self,
        texts: Text | Iterable[Text],
        *,
        top_k: int | None = _NOT_GIVEN,
        function_to_apply: str | None = None,
    ) -> Any:
        """Return the classes of texts.

        Parameters
        ----------
        texts : str, dict, or an iterable of these
            Texts; a pair is a dict of `text` and `text_pair`.
        top_k : int or None
            How many classes to return of each, the likeliest first; None for all.
        function_to_apply : str or None
            `softmax`, `sigmoid` or `none`; by default what the model is for: none for a
            regression, sigmoid where several classes may be right or there is one, else softmax.

        Returns
        -------
        list
            Of dicts with `label` and `score`; with `top_k` such a list for every text, and of one
            text alone its list. As transformers has it, one dict is returned for one dict.

        Raises
        ------
        InputError, ConfigError
            What is given is no text, or there is no such function.
        """
        given, many = as_list(texts)
        if top_k is not None and top_k is not _NOT_GIVEN and top_k < 1:
            raise InputError(f"top_k {top_k} given: it must be 1 or more")
        if function_to_apply is not None:
            check_word("function_to_apply", function_to_apply, _FUNCTIONS)
        found = []
        for _, outputs in self._model.run(map(as_example, given)):
            logits = outputs["logits"]
            scores = _FUNCTIONS[function_to_apply or self._function(len(logits))](logits)
            names = class_names(self._config, len(scores))
            # Equal scores stay in the order of the classes.
            best = np.argsort(-scores, kind="stable")
            ranked = [{"label": names[i], "score": float(scores[i])} for i in best]
            found.append(ranked[:1] if top_k is _NOT_GIVEN else ranked[:top_k])
        if top_k is not _NOT_GIVEN:
            return found if many else found[0]
        single = [one[0] for one in found]
        return single[0] if isinstance(texts, dict) else single

    def _function(self, count: int) -> str:
        problem = self._config.get("problem_type")
        if problem == "regression":
            return "none"
        return "sigmoid" if problem == "multi_label_classification" or count == 1 else "softmax"


def as_example(given: Any) -> Example:
    """Return a text, or a dict of two, as an example.

    Raises
    ------
    InputError
        A dict has other keys.
    """
    if not isinstance(given, dict):
        return Example(given)
    if "text" not in given or not given.keys() <= _KEYS:
        raise InputError(
            f"keys {', '.join(map(str, given))} given: a pair is a dict of text and text_pair"
        )
    return Example(given["text"], given.get("text_pair"))
