"""How each task is asked about the rows of a table, and what of its answer a row gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm_sparse.errors import ConfigError
from tvm_sparse.progress import silent
from tvm_sparse.text.pipelines import Pipeline
from tvm_sparse.text.zero_shot_classification import hypotheses_of

#: Texts, second texts where there is a column of them, and options; returns an answer for each.
Ask = Callable[[Pipeline, list[str], list[str] | None, Mapping[str, Any]], Sequence[Any]]
#: What of a zero-shot answer the row has already.
_TEXT = "sequence"


@dataclass(frozen=True)
class Question:
    """What every row is asked.

    Attributes
    ----------
    task : str
        A key of `text.pipelines.TEXT_TASKS`.
    column, pair_column : str, str or None
        The columns with the text, and with the second text of pairs.
    options : mapping
        Those of the task's pipeline; for `text-ranking` also `query`.
    """

    task: str
    column: str = "text"
    pair_column: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        return (self.column, self.pair_column) if self.pair_column else (self.column,)


@dataclass(frozen=True)
class _Form:
    """How a task is asked.

    Attributes
    ----------
    ask : callable
        Asks its pipeline.
    pair : {"no", "maybe", "yes"}
        Whether it takes a second text.
    cuts : bool
        Whether it cuts long texts; a task that does not reads them in parts.
    needs : str
        An option without which it cannot be asked.
    options : tuple of str
        The others that it has.
    check : callable
        Refuses values of options that no row could be asked with.
    """

    ask: Ask
    pair: str = "no"
    cuts: bool = True
    needs: str = ""
    options: tuple[str, ...] = ()
    check: Callable[[Mapping[str, Any]], object] = silent


def hypotheses(options: Mapping[str, Any]) -> list[str]:
    """Return what texts are asked to entail for zero-shot classes.

    Raises
    ------
    InputError
        There are no classes, or none in the template.
    """
    given = {name: value for name, value in options.items() if name != "multi_label"}
    return hypotheses_of(**given)[1]


def _plain(
    pipeline: Pipeline, texts: list[str], _pairs: list[str] | None, options: Mapping[str, Any]
) -> Sequence[Any]:
    answers: Sequence[Any] = pipeline(texts, **options)
    return answers


def _features(
    pipeline: Pipeline, texts: list[str], _pairs: list[str] | None, options: Mapping[str, Any]
) -> Sequence[Any]:
    return [states[0] for states in pipeline(texts, **options)]


def _classes(
    pipeline: Pipeline, texts: list[str], pairs: list[str] | None, options: Mapping[str, Any]
) -> Sequence[Any]:
    asked: list[Any] = list(texts)
    if pairs is not None:
        asked = [{"text": t, "text_pair": p} for t, p in zip(texts, pairs, strict=True)]
    found = pipeline(asked, **{"top_k": 1, **options})
    return [one[0] if len(one) == 1 else one for one in found]


def _zero_shot(
    pipeline: Pipeline, texts: list[str], _pairs: list[str] | None, options: Mapping[str, Any]
) -> Sequence[Any]:
    found = pipeline(texts, **options)
    return [{name: value for name, value in one.items() if name != _TEXT} for one in found]


def _ranking(
    pipeline: Pipeline, texts: list[str], _pairs: list[str] | None, options: Mapping[str, Any]
) -> Sequence[Any]:
    query, rest = options["query"], {n: v for n, v in options.items() if n != "query"}
    scores: list[Any] = [None] * len(texts)
    for one in pipeline(query, texts, **{**rest, "top_k": None}):
        scores[one["corpus_id"]] = {"score": one["score"]}
    return scores


def _answers(
    pipeline: Pipeline, texts: list[str], pairs: list[str] | None, options: Mapping[str, Any]
) -> Sequence[Any]:
    found: Sequence[Any] = pipeline(texts, pairs, **options)
    return found


_FORMS = {
    "sentence-embedding": _Form(
        _plain, options=("normalize_embeddings", "prompt_name", "prompt", "batch_size")
    ),
    "feature-extraction": _Form(_features),
    "text-classification": _Form(_classes, pair="maybe", options=("top_k", "function_to_apply")),
    "zero-shot-classification": _Form(
        _zero_shot,
        needs="candidate_labels",
        options=("hypothesis_template", "multi_label"),
        check=hypotheses,
    ),
    "text-ranking": _Form(_ranking, needs="query"),
    "token-classification": _Form(
        _plain, options=("aggregation_strategy", "ignore_labels", "stride")
    ),
    "question-answering": _Form(
        _answers,
        pair="yes",
        cuts=False,
        options=(
            *("top_k", "doc_stride", "max_seq_len", "max_answer_len"),
            *("handle_impossible_answer", "align_to_words"),
        ),
    ),
    "fill-mask": _Form(_plain, options=("top_k", "targets")),
}
#: What the command line calls the options that tasks need.
_FLAGS = {"candidate_labels": "--labels", "query": "--query"}


def check_question(question: Question) -> None:
    """Refuse a question that lacks what its task needs, or has what it does not know.

    Raises
    ------
    ConfigError, InputError
        Saying what.
    """
    form = _FORMS[question.task]
    known = (form.needs, *form.options) if form.needs else form.options
    for name in question.options:
        if name not in known:
            raise ConfigError(
                f"{question.task} has no option {name}: it has {', '.join(known) or 'none'}"
            )
    if form.needs and not question.options.get(form.needs):
        raise ConfigError(
            f"{form.needs} ({_FLAGS[form.needs]}) is missing: {question.task} cannot be asked "
            "without"
        )
    if form.pair == "yes" and not question.pair_column:
        raise ConfigError(
            f"no column of second texts (--pair-column) given: {question.task} reads a question "
            "and its context from two columns"
        )
    form.check(question.options)
    if form.pair == "no" and question.pair_column:
        raise ConfigError(f"--pair-column given: {question.task} reads one text a row")


def is_cut(task: str) -> bool:
    """Tell whether a task leaves out what is longer than the build takes."""
    return _FORMS[task].cuts


def ask(
    question: Question, pipeline: Pipeline, texts: list[str], pairs: list[str] | None
) -> Sequence[Any]:
    """Return the answer of a task's pipeline for each text, or pair of texts.

    Raises
    ------
    InputError, ConfigError
        As the pipeline refuses.
    """
    return _FORMS[question.task].ask(pipeline, texts, pairs, question.options)
