"""Embeddings of texts, as sentence-transformers makes them."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import InputError, check_word
from tvm_sparse.text.pooling import pool, unit
from tvm_sparse.text.text_model import Example, TextModel, as_list

_OUTPUT = "last_hidden_state"


class SentenceEmbedding:
    """Makes one vector of every text.

    Parameters
    ----------
    model : TextModel
        An encoder.

    Raises
    ------
    InputError
        The model returns no hidden states, or has a module behind them that is not computed.
    """

    def __init__(self, model: TextModel) -> None:
        self._model, self._facts = model, model.facts.sentences
        if self._facts.unread:
            raise InputError(
                f"sentence embeddings of {model.description.name} need {self._facts.unread}, which "
                "is not computed: use --task feature-extraction"
            )

    def __call__(
        self,
        texts: str | Iterable[str],
        *,
        batch_size: int = 32,
        show_progress_bar: bool = False,
        normalize_embeddings: bool = False,
        prompt_name: str | None = None,
        prompt: str | None = None,
    ) -> NDArray[np.float32]:
        """Return embeddings of texts.

        Parameters
        ----------
        texts : str or iterable of str
            One text, or several.
        batch_size : int
            Texts in one run, where the build leaves the choice.
        show_progress_bar : bool
            Whether to count the texts on stderr.
        normalize_embeddings : bool
            Whether embeddings get the length 1; those of a model that says so always do.
        prompt_name, prompt : str or None
            What is put before every text: by its name in the model, or itself.

        Returns
        -------
        ndarray of float32
            (texts, H), of one text (H,).

        Raises
        ------
        InputError, ConfigError
            What is given is no text; there is no prompt of that name.
        """
        given, many = as_list(texts)
        if batch_size < 1:
            raise InputError(f"batch_size {batch_size} given: it must be 1 or more")
        before = self._prompt(prompt_name, prompt)
        examples = (self._example(before, text) for text in given)
        found = self._model.run(examples, self._facts.max_length, at_once=batch_size)
        vectors = []
        for _, outputs in found:
            vectors.append(pool(outputs[_OUTPUT], self._facts.pooling))
            if show_progress_bar:
                end = "\n" if len(vectors) == len(given) else ""
                print(f"\r{len(vectors)} of {len(given)} texts", end=end, file=sys.stderr)
        result = np.stack(vectors) if vectors else np.empty((0, 0), np.float32)
        if self._facts.normalize or normalize_embeddings:
            result = unit(result)
        return result if many else result[0]

    def _prompt(self, name: str | None, prompt: str | None) -> str:
        if prompt is not None:
            return prompt
        name = name or self._facts.default_prompt
        if not name:
            return ""
        check_word("prompt_name", name, self._facts.prompts)
        return self._facts.prompts[name]

    def _example(self, before: str, text: Any) -> Example:
        if not isinstance(text, str):
            raise InputError(f"{reprlib.repr(text)} given: texts are needed")
        text = f"{before}{text}".strip()
        return Example(text.lower() if self._facts.lowercase else text)
