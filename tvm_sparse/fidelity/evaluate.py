"""Compare a pruned model with the dense one on texts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.fidelity.record import EvaluatedModel, EvaluationRecord
from tvm_sparse.fidelity.sides import Side
from tvm_sparse.fidelity.views import collect, compare, score
from tvm_sparse.progress import ShareProgress, silent
from tvm_sparse.tasks.registry import on_texts
from tvm_sparse.tasks.task import View
from tvm_sparse.text.texts import read_labels, read_texts, take_evenly
from tvm_sparse.text.tokens import TOKENIZER_FILE, Tokens, load_tokenizer
from tvm_sparse.text.word_pieces import VOCABULARY_FILE
from tvm_sparse.words import counted


@dataclass(frozen=True)
class Texts:
    """What the models are compared on: texts, and labels if there are any, one a text."""

    texts: Sequence[str]
    labels: Sequence[str] | None = None
    text_source: str | None = None
    labels_source: str | None = None

    @classmethod
    def read(cls, text: str, labels: str | None = None, limit: int | None = None) -> Texts:
        """Read files with one text and one label a line, at most `limit` spread over them.

        Raises
        ------
        ConfigError
            The limit is below 1.
        InputError
            A file cannot be used, or there are not as many labels as texts.
        """
        if limit is not None and limit < 1:
            raise ConfigError(f"limit {limit} given: it must be at least 1")
        texts = read_texts(text)
        answers = None
        if labels is not None:
            answers = take_evenly(read_labels(labels, len(texts)), limit)
        return cls(take_evenly(texts, limit), answers, text, labels)


def evaluate(
    candidate: Side,
    reference: Side,
    texts: Texts,
    threads: int,
    tokenizer_dir: str | None = None,
    progress: ShareProgress = silent,
) -> EvaluationRecord:
    """Run two models on the same texts and compare what they say.

    Parameters
    ----------
    candidate, reference : Side
        The pruned model and the dense one, as `open_side` returns them.
    texts : Texts
        Texts, and labels if there are any.
    threads : int
        Threads they run on, for the record.
    tokenizer_dir : str, optional
        Directory of the tokenizer; by default that of either model.
    progress : callable
        Receives a line and the finished share, 0..1.

    Raises
    ------
    ConfigError
        The models are for different tasks or shapes, or for a task that texts do not judge.
    InputError
        There is no tokenizer, or texts and models do not fit.
    """
    check_pair(candidate, reference)
    tokenizer = load_tokenizer(
        tokenizer_dir or find_tokenizer([candidate.directory, reference.directory])
    )
    vocab_size = reference.description.config.get("vocab_size")
    tokens = tokenizer.encode(texts.texts, reference.seq_len, vocab_size)
    start = time.perf_counter()
    views: list[View] = []
    described: list[EvaluatedModel] = []
    for side, role in ((reference, "dense"), (candidate, "pruned")):
        line = f"running the {role} model on {counted(len(tokens), 'text')}"
        progress(line, 0.0)
        views.append(run_side(side, tokens, lambda share, line=line: progress(line, share)))  # type: ignore[misc]
        scores = {}
        if texts.labels is not None:
            what = side.description
            scores = score(what.task, views[-1], texts.labels, tokens, what.config)
        described.append(side.describe(scores))
    return EvaluationRecord(
        task=reference.description.task,
        reference=described[0],
        candidate=described[1],
        measures=compare(reference.description.task, *views),
        texts=len(tokens),
        truncated=tokens.truncated,
        seq_len=reference.seq_len,
        seconds=time.perf_counter() - start,
        environment=detect_environment(threads),
        text_source=texts.text_source,
        labels_source=texts.labels_source,
    )


def run_side(
    side: Side, tokens: Tokens, progress: Callable[[float], None] = lambda share: None
) -> View:
    """Run one model on all texts and keep what its task is judged by, see `views.collect`."""
    names, task = tuple(tensor.name for tensor in side.inputs), side.description.task
    return collect(side.forward, tokens, names, side.batch, task, progress)


def check_pair(candidate: Side, reference: Side) -> None:
    """Raise a ConfigError when two models cannot be compared."""
    on_texts(reference.description.task)
    if candidate.description.task != reference.description.task:
        raise ConfigError(
            f"{candidate.name} is for {candidate.description.task}, --against {reference.name} for "
            f"{reference.description.task}: give two versions of one model"
        )
    if candidate.seq_len != reference.seq_len:
        raise ConfigError(
            f"{candidate.name} takes {candidate.seq_len} tokens, --against {reference.name} "
            f"{reference.seq_len}: export both for one sequence length"
        )


def find_tokenizer(places: Iterable[str | None]) -> str:
    """Return the first of some directories that holds a tokenizer; InputError if none does."""
    directories = [place for place in places if place]
    for directory in directories:
        if any((Path(directory) / name).is_file() for name in (TOKENIZER_FILE, VOCABULARY_FILE)):
            return directory
    looked = ", ".join(directories) or "these models come without a directory"
    raise InputError(
        f"no {TOKENIZER_FILE} or {VOCABULARY_FILE} found ({looked}): name its directory with "
        "--tokenizer"
    )
