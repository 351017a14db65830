"""Texts in the order in which they answer a query, as cross-encoders rank them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tvm_sparse.errors import InputError
from tvm_sparse.text.scores import sigmoid
from tvm_sparse.text.text_model import Example, TextModel

#: Where the configs of cross-encoders name what is done to their scores.
_ACTIVATION_KEYS = ("sbert_ce_default_activation_function", "activation_fn")


class TextRanking:
    """Ranks texts by a query.

    Parameters
    ----------
    model : TextModel
        A model for pairs of texts with one class.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model

    def __call__(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_k: int | None = None,
        return_documents: bool = False,
    ) -> list[dict[str, Any]]:
        """Return documents, the best first.

        Parameters
        ----------
        query : str
            What is looked for.
        documents : sequence of str
            The texts.
        top_k : int or None
            How many to return; None for all.
        return_documents : bool
            Whether to return the texts too.

        Returns
        -------
        list of dict
            `corpus_id`, the number of the document, `score`, and `text` if asked for.

        Raises
        ------
        InputError
            What is given is no text, or the model has several classes.
        """
        given = [documents] if isinstance(documents, str) else list(documents)
        if top_k is not None and top_k < 1:
            raise InputError(f"top_k {top_k} given: it must be 1 or more")
        scores = np.array([self._score(o["logits"]) for _, o in self._pairs(query, given)])
        ranked = np.argsort(-scores, kind="stable")[:top_k]
        texts = {int(i): {"text": given[i]} if return_documents else {} for i in ranked}
        return [{"corpus_id": i, "score": float(scores[i]), **text} for i, text in texts.items()]

    def _pairs(self, query: str, documents: list[str]) -> Any:
        return self._model.run(Example(query, document) for document in documents)

    def _score(self, logits: Any) -> Any:
        if len(logits) != 1:
            raise InputError(
                f"{self._model.description.name} has {len(logits)} classes: ranking needs a model "
                "with one, a cross-encoder; use --task text-classification"
            )
        return logits[0] if self._is_plain() else sigmoid(logits)[0]

    def _is_plain(self) -> bool:
        config = self._model.description.config
        nested = config.get("sentence_transformers")
        places = (config, nested if isinstance(nested, dict) else {})
        named = [str(place.get(key, "")) for place in places for key in _ACTIVATION_KEYS]
        return any(name.endswith("Identity") for name in named)
