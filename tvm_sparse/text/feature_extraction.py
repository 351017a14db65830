"""Hidden states of the tokens of texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.text.text_model import Example, TextModel, as_list


class FeatureExtraction:
    """Returns what an encoder makes of every token.

    Parameters
    ----------
    model : TextModel
        An encoder.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model

    def __call__(self, texts: str | Iterable[str]) -> Any:
        """Return hidden states of texts.

        Parameters
        ----------
        texts : str or iterable of str
            One text, or several.

        Returns
        -------
        ndarray or list of ndarray
            float32 (1, tokens, H) of one text, special tokens included; a list for several.

        Raises
        ------
        InputError
            What is given is no text.
        """
        given, many = as_list(texts)
        states: list[NDArray[np.float32]] = [
            outputs["last_hidden_state"][None].copy()
            for _, outputs in self._model.run(map(Example, given))
        ]
        return states if many else states[0]
