"""What `tvm-sparse predict` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from tvm_sparse.cli.printable import printable
from tvm_sparse.cli.questions import Questions

#: Of a text or of a vector, so much is shown.
_SHOWN_CHARACTERS = 60
_SHOWN_NUMBERS = 4


def print_answers(questions: Questions, answers: list[Any], as_json: bool) -> None:
    """Print an answer for every subject: a line of JSON, or lines for people."""
    for subject, answer in zip(questions.subjects, answers, strict=True):
        if as_json:
            print(json.dumps(answer, default=_plain, ensure_ascii=False))
            continue
        if len(answers) > 1:
            print(printable(_short(subject)))
        for line in _lines(answer):
            print(printable(f"  {line}" if len(answers) > 1 else line))


def _plain(value: Any) -> Any:
    return value.tolist()


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[:_SHOWN_CHARACTERS]}…"


def _lines(answer: Any) -> Iterator[str]:
    """Yield an answer as lines that begin with a score."""
    if isinstance(answer, np.ndarray):
        numbers = ", ".join(f"{number:.4f}" for number in answer.flat[:_SHOWN_NUMBERS])
        shape = " x ".join(map(str, answer.shape))
        yield f"{numbers}, …  ({shape} numbers; --json has all)"
    elif isinstance(answer, list):
        for one in answer:
            yield from _lines(one)
        if not answer:
            yield "nothing found"
    elif "labels" in answer:
        for label, score in zip(answer["labels"], answer["scores"], strict=True):
            yield f"{score:.4f}  {label}"
    else:
        yield f"{answer['score']:.4f}  {_described(answer)}"


def _described(answer: dict[str, Any]) -> str:
    kind = answer.get("entity_group", answer.get("entity"))
    where = f"{answer['start']}-{answer['end']}" if "start" in answer else ""
    if kind is not None:
        return f"{kind}  {answer['word']}  {where}"
    if "answer" in answer:
        return f"{answer['answer']}  {where}" if answer["answer"] else "no answer"
    if "sequence" in answer:
        return f"{answer['token_str']}  {answer['sequence']}"
    if "corpus_id" in answer:
        return f"{answer['corpus_id']}  {_short(answer['text'])}"
    return str(answer["label"])
