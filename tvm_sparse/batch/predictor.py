"""What an actor does: answers for the rows of a batch, from an exported build."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.batch.asking import Question, ask, check_question, hypotheses, is_cut
from tvm_sparse.batch.cores import pin_to_cores
from tvm_sparse.batch.metered import MeteredModel
from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.runtime.artifact import check_cpu, check_packages, load
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.runtime.on_texts import open_texts
from tvm_sparse.text.pipelines import TEXT_TASKS, choose_task
from tvm_sparse.text.text_model import CutWarning

#: The columns that a batch gets.
PREDICTION, ERROR = "prediction", "error"
#: Texts that a pipeline is asked at once: it runs a few tens together.
_AT_ONCE = 256


class Predictor:
    """Answers a task about the rows of a batch; for `ray.data.Dataset.map_batches`.

    >>> texts.map_batches(  # doctest: +SKIP
    ...     tvm_sparse.batch.Predictor,
    ...     fn_constructor_kwargs={"artifact": "minilm", "task": "sentence-embedding"},
    ...     compute=ray.data.ActorPoolStrategy(size=8),
    ...     num_cpus=1,
    ... )

    Parameters
    ----------
    artifact : path
        A directory that `export` wrote, where every machine finds it.
    task : str or None
        What to ask, by its name in transformers; None for what the model is for.
    column, pair_column : str, str or None
        The columns with the text, and with the second text of pairs: the context of a question.
    threads : int
        Cores to run on: give as much to `num_cpus`.
    pin : bool
        Whether to stay on cores that no other predictor of this machine has.
    truncate : bool
        Whether to cut texts that are longer than the build takes; without, they are errors.
    **options
        Of the task's pipeline, see `docs/text.md`: `candidate_labels`, `top_k` and so on; for
        `text-ranking` also `query`.

    Attributes
    ----------
    meter : MeteredModel
        Counts tokens and the time of runs.
    cuts : int
        Inputs of the model that were cut: of a text with two classes there are two.

    Raises
    ------
    ArtifactError, ConfigError, DependencyError, InputError
        The build does not fit this machine or the task, or an option is missing.
    """

    def __init__(
        self,
        artifact: str | os.PathLike[str],
        task: str | None = None,
        *,
        column: str = "text",
        pair_column: str | None = None,
        threads: int = 1,
        pin: bool = True,
        truncate: bool = True,
        **options: Any,
    ) -> None:
        task = choose_task(load_metadata(Path(artifact)).model, task)
        self._question = Question(task, column, pair_column, options)
        check_question(self._question)
        self._cores = pin_to_cores(threads) if pin else None
        model = self.load(artifact, threads)
        self.meter = MeteredModel(model)
        self._texts = open_texts(self.meter, model.metadata, Path(artifact))
        self._pipeline = TEXT_TASKS[task].make(self._texts)
        self._most = self._most_tokens() if is_cut(task) and not truncate else None
        self.cuts = 0

    @staticmethod
    def load(artifact: str | os.PathLike[str], threads: int) -> Any:
        """Return the model; another engine is measured by overriding this."""
        return load(artifact, threads)

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Return a batch with two more columns.

        `prediction` holds the answer for each row, as the task's pipeline gives it, and `error` why
        there is none, empty where there is one.
        """
        columns = [list(batch[name]) for name in self._question.columns]
        answers, errors = self.answer(list(zip(*columns, strict=True)))
        return {**batch, PREDICTION: _as_column(answers), ERROR: np.array(errors, object)}

    def answer(self, rows: Sequence[tuple[Any, ...]]) -> tuple[list[Any], list[str]]:
        """Return the answer for each row, None if there is none, and then why, else empty.

        Parameters
        ----------
        rows : sequence of tuple
            The text of each, or its two texts.
        """
        answers: list[Any] = [None] * len(rows)
        errors = [self._fault(row) for row in rows]
        # Neighbours share runs: of like length they share the work evenly among threads.
        order = sorted(
            (place for place, error in enumerate(errors) if not error),
            key=lambda place: sum(map(len, rows[place])),
        )
        for start in range(0, len(order), _AT_ONCE):
            self._answer(rows, order[start : start + _AT_ONCE], answers, errors)
        return answers, errors

    def _answer(
        self,
        rows: Sequence[tuple[str, ...]],
        places: list[int],
        answers: list[Any],
        errors: list[str],
    ) -> None:
        """Put in the answers for some rows, or why there is none."""
        texts = [rows[place][0] for place in places]
        pairs = [rows[place][1] for place in places] if self._question.pair_column else None
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always", CutWarning)
            try:
                found = ask(self._question, self._pipeline, texts, pairs)
            except InputError as error:
                if len(places) == 1:
                    errors[places[0]] = str(error)
                    return
                # Rare: one that is refused must not take others with it.
                for place in places:
                    self._answer(rows, [place], answers, errors)
                return
        self.cuts += sum(getattr(note.message, "cuts", 0) for note in notes)
        for place, answer in zip(places, found, strict=True):
            answers[place] = answer

    def _fault(self, row: tuple[Any, ...]) -> str:
        """Return why a row cannot be asked about, empty if nothing shows."""
        for name, text in zip(self._question.columns, row, strict=True):
            if not isinstance(text, str):
                kind = "nothing" if text is None else type(text).__name__
                return f"column {name!r} holds no text: {kind} found"
        if self._most is None:
            return ""
        # No token is shorter than a byte.
        if sum(len(text.encode("utf-8", "surrogatepass")) for text in row) <= self._most:
            return ""
        try:
            tokens = sum(map(self._texts.tokenizer.length, row))
        except InputError as error:
            return str(error)
        if tokens <= self._most:
            return ""
        return f"the text has {tokens} tokens: the build takes {self._most} besides its own"

    def _most_tokens(self) -> int:
        """Return how many tokens of a row fit beside what the task puts around them."""
        texts, question = self._texts, self._question
        most = texts.most_tokens
        length, special = texts.tokenizer.length, texts.tokenizer.special_count
        options: Mapping[str, Any] = question.options
        if question.task == "sentence-embedding":
            most = min(most, texts.facts.sentences.max_length or most)
        elif question.task == "zero-shot-classification":
            return most - max(map(length, hypotheses(options))) - special(True)
        elif question.task == "text-ranking":
            return most - length(options["query"]) - special(True)
        return most - special(question.pair_column is not None)


def check_artifact(artifact: str, task: str | None, here: bool = True) -> str:
    """Return the task that a build is asked, if it is for it and can be used.

    Parameters
    ----------
    artifact, task : str, str or None
        As `Predictor` takes them.
    here : bool
        Whether it must run on this machine.

    Raises
    ------
    ArtifactError, ConfigError, DependencyError, InputError
        It cannot.
    """
    metadata = load_metadata(artifact)
    if here:
        check_cpu(metadata)
        check_packages(metadata)
    name = choose_task(metadata.model, task)
    if metadata.text is None:
        raise ConfigError(
            f"the artifact in {artifact} has no tokenizer: export a checkpoint that has one"
        )
    return name


def _as_column(answers: list[Any]) -> NDArray[Any]:
    """Return answers as a column: vectors of one length as a matrix, all else as objects."""
    if answers and all(isinstance(one, np.ndarray) and one.ndim == 1 for one in answers):
        return np.stack(answers)
    column = np.empty(len(answers), object)
    column[:] = answers
    return column
