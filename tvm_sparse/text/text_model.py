"""A build with the tokenizer and the facts that it needs to be used on texts."""

from __future__ import annotations

import reprlib
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_sparse.errors import InputError
from tvm_sparse.model.facts import ModelDescription
from tvm_sparse.model.text_facts import TextFacts
from tvm_sparse.text.batches import Batches, Outputs, Runnable
from tvm_sparse.text.task_tokenizer import Cut, TaskTokenizer

#: Texts in one run, where a build takes any number.
AT_ONCE = 32


class CutWarning(UserWarning):
    """Texts were longer than the model takes, and were cut.

    Parameters
    ----------
    message : str
        Says so.
    cuts : int
        How many inputs of the model.
    """

    def __init__(self, message: str, cuts: int = 1) -> None:
        super().__init__(message)
        self.cuts = cuts


@dataclass(frozen=True)
class Example:
    """A text, or two that belong together."""

    text: str
    pair: str | None = None


class TextModel:
    """A build that takes texts.

    Parameters
    ----------
    model : LoadedModel
        The build.
    description : ModelDescription
        Which model it is.
    facts : TextFacts
        How it takes texts.
    directory : Path
        Holds its `tokenizer.json`.
    together : bool
        Whether texts of different lengths may share a run.

    Attributes
    ----------
    description, facts
        As given.
    tokenizer : TaskTokenizer
        Its tokenizer.
    most_tokens : int
        Of one input, special ones included.

    Raises
    ------
    InputError
        The tokenizer is damaged, or the model takes no texts.
    """

    def __init__(
        self,
        model: Runnable,
        description: ModelDescription,
        facts: TextFacts,
        directory: Path,
        together: bool = True,
    ) -> None:
        self.description, self.facts = description, facts
        self.tokenizer = TaskTokenizer(directory, facts)
        self._batches = Batches(model, facts.token_types, together)
        most = self._batches.most_tokens
        self.most_tokens = min(most, facts.max_length or most)

    def run(
        self,
        examples: Iterable[Example],
        most: int | None = None,
        cut: Cut = "longest_first",
        at_once: int = AT_ONCE,
        offsets: bool = False,
    ) -> Iterator[tuple[Any, Outputs]]:
        """Yield the encoding of one example after the other, and what the model says of it.

        Behind the last one a CutWarning says how many were longer than what is read of them.

        Parameters
        ----------
        examples : iterable of Example
            The texts.
        most : int or None
            Tokens at most, if that is less than the model takes.
        cut : str
            Which text of a pair is cut.
        at_once : int
            Texts in one run, where the build leaves the choice.
        offsets : bool
            Whether encodings tell where in the text each token is.

        Raises
        ------
        InputError
            See `TaskTokenizer.encode`.
        """
        most = min(most or self.most_tokens, self.most_tokens)
        encodings = (
            self.tokenizer.encode(example.text, example.pair, most=most, cut=cut, offsets=offsets)
            for example in examples
        )
        yield from self._run_counted(encodings, most, at_once)

    def run_with_each(
        self, texts: Iterable[str], others: Sequence[str], cut: Cut = "only_first"
    ) -> Iterator[Outputs]:
        """Yield what the model says of every text with each of others, text by text.

        Raises
        ------
        InputError
            See `TaskTokenizer.encode`.
        """
        most = self.most_tokens
        encodings = (
            encoding
            for text in texts
            for encoding in self.tokenizer.encode_with_each(text, others, most=most, cut=cut)
        )
        for _, outputs in self._run_counted(encodings, most, AT_ONCE):
            yield outputs

    def _run_counted(
        self, encodings: Iterable[Any], most: int, at_once: int
    ) -> Iterator[tuple[Any, Outputs]]:
        """Run encodings, and say behind the last how many were cut."""
        count = cuts = 0

        def counted() -> Iterator[Any]:
            nonlocal count, cuts
            for one in encodings:
                count, cuts = count + 1, cuts + bool(one.overflowing)
                yield one

        yield from self.run_encodings(counted(), at_once)
        if cuts:
            who = "the text was" if count == 1 else f"{cuts} of {count} texts were"
            self.warn(f"{who} longer than {most} tokens, and cut there", cuts)

    def run_encodings(
        self, encodings: Iterable[Any], at_once: int = AT_ONCE
    ) -> Iterator[tuple[Any, Outputs]]:
        """Yield encodings of at most `most_tokens`, and what the model says of each."""
        waiting: deque[Any] = deque()

        def passing() -> Iterator[Any]:
            for one in encodings:
                waiting.append(one)
                yield one

        for outputs in self._batches.run(passing(), at_once):
            yield waiting.popleft(), outputs

    def warn(self, message: str, cuts: int = 1) -> None:
        """Say that something was cut."""
        warnings.warn(CutWarning(message, cuts), stacklevel=3)


def as_list(given: Any) -> tuple[list[Any], bool]:
    """Return what was given as a list, and whether it was one.

    Raises
    ------
    InputError
        It is neither a text nor a pair nor several.
    """
    if isinstance(given, (str, dict)):
        return [given], False
    if not isinstance(given, Iterable):
        raise InputError(f"{reprlib.repr(given)} given: a text or a list of texts is needed")
    return list(given), True
