"""What `tvm-sparse predict` asks: texts and flags as a call of a task's pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.text.texts import PAIR_SEPARATOR, read_text, read_texts

_STDIN = "-"
_ANSWERING, _RANKING, _ZERO_SHOT = "question-answering", "text-ranking", "zero-shot-classification"


@dataclass(frozen=True)
class Flag:
    """A flag that some tasks have.

    Attributes
    ----------
    name : str
        As it is written.
    tasks : tuple of str
        Which have it.
    option : str
        What their pipelines call it; empty for what is no option.
    """

    name: str
    tasks: tuple[str, ...]
    option: str = ""


#: By the names of the command's parameters.
_FLAGS = {
    "top_k": Flag("--top-k", ("text-classification", _ANSWERING, "fill-mask", _RANKING), "top_k"),
    "question": Flag("--question", (_ANSWERING,)),
    "context": Flag("--context", (_ANSWERING,)),
    "no_answer": Flag("--no-answer", (_ANSWERING,), "handle_impossible_answer"),
    "labels": Flag("--labels", (_ZERO_SHOT,)),
    "template": Flag("--template", (_ZERO_SHOT,), "hypothesis_template"),
    "multi_label": Flag("--multi-label", (_ZERO_SHOT,), "multi_label"),
    "query": Flag("--query", (_RANKING,)),
    "aggregation": Flag("--aggregation", ("token-classification",), "aggregation_strategy"),
}


@dataclass(frozen=True)
class Questions:
    """A call of a pipeline.

    Attributes
    ----------
    subjects : list of str
        What each answer is about.
    arguments, options : tuple, dict
        What the pipeline is called with.
    """

    subjects: list[str]
    arguments: tuple[Any, ...]
    options: dict[str, Any]


def read_questions(task: str, texts: Sequence[str], flags: Mapping[str, Any]) -> Questions:
    """Return what the command line asks.

    Parameters
    ----------
    task : str
        A key of `text.pipelines.TEXT_TASKS`.
    texts : sequence of str
        The texts on the command line.
    flags : mapping
        Those of `_FLAGS`, and `file`.

    Raises
    ------
    ConfigError
        A flag is for another task, or one that the task needs is missing.
    InputError
        There is no text, or a file cannot be read.
    """
    # 0 is something that is given, and equal to False.
    given = {n: f for n, f in _FLAGS.items() if not any(flags[n] is no for no in (None, False, ()))}
    for flag in given.values():
        if task not in flag.tasks:
            raise ConfigError(
                f"{flag.name} given, which is for {', '.join(flag.tasks)}: the task is {task}"
            )
    options = {flag.option: flags[name] for name, flag in given.items() if flag.option}
    if task == _ANSWERING and flags["context"]:
        return _one_question(texts, flags, options)
    if flags["question"]:
        raise ConfigError("--question given without --context: give the text with --context FILE")
    found = _texts(texts, flags["file"])
    if task == _ANSWERING:
        pairs = [_pair(text) for text in found]
        questions, contexts = [first for first, _ in pairs], [second for _, second in pairs]
        return Questions(questions, (questions, contexts), options)
    if task == _RANKING:
        query = _needed("--query", flags["query"], "the query that the texts are ranked by")
        return Questions([query], (query, found), {"return_documents": True, **options})
    if task == _ZERO_SHOT:
        labels = _needed("--labels", flags["labels"], "the classes, for example sports,politics")
        return Questions(found, (found, labels), options)
    if task == "text-classification":
        inputs = [_dict(text) if PAIR_SEPARATOR in text else text for text in found]
        return Questions(found, (inputs,), {"top_k": 1, **options})
    return Questions(found, (found,), options)


def _one_question(
    texts: Sequence[str], flags: Mapping[str, Any], options: dict[str, Any]
) -> Questions:
    """Return questions about the text in a file."""
    if flags["file"]:
        raise ConfigError("--context and --texts given: give one of the two")
    questions = [*flags["question"], *texts]
    if not any(question.strip() for question in questions):
        raise InputError("no question given: use --question TEXT")
    context = read_text(flags["context"])
    if not context.strip():
        raise InputError(f"{flags['context']} holds no text to look for an answer in")
    return Questions(questions, (questions, context), options)


def _texts(texts: Sequence[str], file: str | None) -> list[str]:
    if texts and file:
        raise ConfigError("texts and --texts given: give one of the two")
    if list(texts) == [_STDIN] or file:
        return read_texts(file or _STDIN)
    if not texts:
        raise InputError("no text given: give texts, - for standard input, or --texts FILE")
    return list(texts)


def _pair(text: str) -> tuple[str, str]:
    first, separator, second = text.partition(PAIR_SEPARATOR)
    if not separator:
        raise InputError(
            "a question without a text given: use --question TEXT --context FILE, or lines in "
            "which a tab separates the two"
        )
    return first, second


def _dict(text: str) -> dict[str, str]:
    first, _, second = text.partition(PAIR_SEPARATOR)
    return {"text": first, "text_pair": second}


def _needed(flag: str, value: str | None, what: str) -> str:
    if not value:
        raise ConfigError(f"{flag} is missing: give {what}")
    return value
