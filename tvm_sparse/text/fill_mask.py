"""The token behind a mask."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import InputError
from tvm_sparse.text.scores import softmax
from tvm_sparse.text.text_model import Example, TextModel, as_list

Filling = dict[str, Any]


class FillMask:
    """Fills the masked tokens of a text.

    Parameters
    ----------
    model : TextModel
        A masked language model.

    Raises
    ------
    InputError
        Its vocabulary has no mask.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model
        self._mask = model.tokenizer.special.get("mask", -1)
        if self._mask < 0:
            raise InputError(f"the tokenizer of {model.description.name} has no mask token")

    def __call__(
        self,
        texts: str | Iterable[str],
        *,
        top_k: int = 5,
        targets: str | Sequence[str] | None = None,
    ) -> Any:
        """Return what may stand behind the masks of texts.

        Parameters
        ----------
        texts : str or iterable of str
            Texts with a mask or more.
        top_k : int
            How many tokens to return for each mask, the likeliest first.
        targets : str or sequence of str, optional
            Only these tokens. Of words that are none the first token is taken.

        Returns
        -------
        list of dict, or lists of these
            `score`, `token`, its id, `token_str` and `sequence`, the text with it. A list for
            every mask where there are several, and for every text where several are given.

        Raises
        ------
        InputError
            A text has no mask, or none among the tokens that are read of it; no target is a token.
        """
        given, many = as_list(texts)
        if top_k < 1:
            raise InputError(f"top_k {top_k} given: it must be 1 or more")
        among = None if targets is None else self._target_ids(targets)
        found = []
        for text, (encoding, outputs) in zip(
            given, self._model.run(map(Example, given)), strict=True
        ):
            places = np.flatnonzero(np.array(encoding.ids) == self._mask)
            if not len(places):
                token = self._model.facts.special_tokens["mask"]
                where = ", as far as it is read" if encoding.overflowing else ""
                raise InputError(f"{text[:60]!r} has no {token}{where}")
            scores = softmax(outputs["logits"][places])
            rows = [
                self._fillings(encoding.ids, int(place), row, among, top_k, len(places) == 1)
                for place, row in zip(places, scores, strict=True)
            ]
            found.append(rows[0] if len(rows) == 1 else rows)
        return found if many else found[0]

    def _fillings(
        self,
        ids: list[int],
        place: int,
        scores: NDArray[Any],
        among: NDArray[np.int64] | None,
        top_k: int,
        alone: bool,
    ) -> list[Filling]:
        """Return the likeliest tokens of one mask; others stay in the text."""
        candidates = np.arange(len(scores)) if among is None else among
        best = np.argsort(-scores[candidates], kind="stable")[:top_k]
        padding = self._model.tokenizer.special.get("pad")
        decode = self._model.tokenizer.decode
        fillings = []
        for number in candidates[best].tolist():
            filled = [*ids[:place], number, *ids[place + 1 :]]
            kept = [one for one in filled if one != padding]
            fillings.append(
                {
                    "score": float(scores[number]),
                    "token": number,
                    "token_str": decode([number]),
                    "sequence": decode(kept, skip_special=alone),
                }
            )
        return fillings

    def _target_ids(self, targets: str | Sequence[str]) -> NDArray[np.int64]:
        tokenizer, found = self._model.tokenizer, []
        for target in [targets] if isinstance(targets, str) else targets:
            number = tokenizer.id_of(target)
            if number is None:
                first = tokenizer.first_id(target)
                replaced = "left out" if first is None else f"{tokenizer.token_of(first)!r} taken"
                warnings.warn(f"{target!r} is no token: {replaced}", UserWarning, stacklevel=3)
                number = first
            if number is not None:
                found.append(number)
        if not found:
            raise InputError(f"targets {targets!r} given: none of them is a token")
        return np.unique(found)
