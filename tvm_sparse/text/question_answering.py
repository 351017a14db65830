"""The words of a text that answer a question."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.text.answer_spans import best_spans, span_characters
from tvm_sparse.text.text_model import TextModel

#: What models of this kind are trained on.
_MOST_TOKENS = 384
_MOST_STRIDE = 128
#: Tokens of a question that leaves no room for the context.
_QUESTION_TOKENS = 64
_NO_ANSWER = {"start": 0, "end": 0, "answer": ""}
Answer = dict[str, Any]


@dataclass(frozen=True)
class AnswerOptions:
    """How answers are looked for.

    Attributes
    ----------
    top_k : int
        How many answers to return, the likeliest first.
    doc_stride : int or None
        Tokens that neighbouring parts of a long context share; None for 128, or half of
        `max_seq_len` if that is less.
    max_seq_len : int or None
        Tokens of a question with a part of its context; None for 384, or what the build takes.
    max_answer_len : int
        Tokens of an answer at most.
    handle_impossible_answer : bool
        Whether no answer is an answer, the empty one.
    align_to_words : bool
        Whether answers are whole words.
    """

    top_k: int = 1
    doc_stride: int | None = None
    max_seq_len: int | None = None
    max_answer_len: int = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    def __post_init__(self) -> None:
        for name, least in (("top_k", 1), ("max_answer_len", 1), ("doc_stride", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"{name} {value} given: it must be {least} or more")


class QuestionAnswering:
    """Finds the answer of a question in a text.

    Parameters
    ----------
    model : TextModel
        A model for questions.
    """

    def __init__(self, model: TextModel) -> None:
        self._model = model

    def __call__(
        self, question: str | Sequence[str], context: str | Sequence[str], **options: Any
    ) -> Any:
        """Return answers.

        Parameters
        ----------
        question : str or sequence of str
            One question, or several.
        context : str or sequence of str
            The text for all questions, or one for each. Long ones are read in parts.
        **options
            Fields of `AnswerOptions`.

        Returns
        -------
        dict, list of dict, or a list of these for several questions
            `score`, `start` and `end`, characters of the context, and `answer`; a list where there
            are several answers, or none.

        Raises
        ------
        InputError, ConfigError
            A question or its context is empty or no text; the numbers of both differ; there is no
            such option; a build too short for a question.
        """
        try:
            chosen = AnswerOptions(**options)
        except TypeError as error:
            known = ", ".join(AnswerOptions.__dataclass_fields__)
            raise ConfigError(f"{str(error).partition(') ')[2]}: options are {known}") from None
        if isinstance(question, str):
            return self._answer(question, context, chosen)
        questions = list(question)
        contexts = [context] * len(questions) if isinstance(context, str) else list(context)
        if len(contexts) != len(questions):
            raise InputError(
                f"{len(questions)} questions and {len(contexts)} contexts given: give one context, "
                "or one for each question"
            )
        pairs = zip(questions, contexts, strict=True)
        return [self._answer(one, other, chosen) for one, other in pairs]

    def _answer(self, question: Any, context: Any, options: AnswerOptions) -> Any:
        for what, text in (("question", question), ("context", context)):
            if not isinstance(text, str):
                raise InputError(f"a {what} of type {type(text).__name__} given: give a text")
            if not text:
                raise InputError(f"the {what} is empty: give a text")
        found = Answers(context, options)
        for encoding, outputs in self._model.run_encodings(self._parts(question, context, options)):
            found.add(encoding, self._candidates(encoding), outputs)
        answers = found.best()
        return answers[0] if len(answers) == 1 else answers

    def _parts(self, question: str, context: str, options: AnswerOptions) -> Iterator[Any]:
        """Yield the question with each part of its context."""
        tokenizer = self._model.tokenizer
        most = self._model.most_tokens
        most = min(options.max_seq_len or _MOST_TOKENS, most)
        stride = min(most // 2, _MOST_STRIDE)
        if options.doc_stride is not None:
            stride = options.doc_stride
        room = most - tokenizer.special_count(True)
        if room - stride < 2:
            raise InputError(
                f"max_seq_len {most} and doc_stride {stride} given: they leave no room for a "
                "question; use a smaller stride, or export the model with a larger --seq-len"
            )
        length = tokenizer.length(question)
        if length + stride >= room and length + tokenizer.length(context) > room:
            kept = min(_QUESTION_TOKENS, (room - stride) // 2)
            self._model.warn(f"the question leaves no room for its context, cut to {kept} tokens")
            question = tokenizer.cut(question, kept)
        whole = tokenizer.encode(question, context, most=most, cut="only_second", stride=stride)
        yield whole
        yield from whole.overflowing

    def _candidates(self, encoding: Any) -> NDArray[np.bool_]:
        """Return which tokens may be in an answer: those of the context, and the first token.

        The first one says that there is no answer, and has no place in one.
        """
        first = self._model.tokenizer.special.get("cls", -1)
        of_context = np.array([part == 1 for part in encoding.sequence_ids])
        return np.asarray(of_context | (np.array(encoding.ids) == first))


class Answers:
    """The answers found in the parts of a context; equal ones are one, with the sum of scores.

    Parameters
    ----------
    context : str
        The text.
    options : AnswerOptions
        How many, and of which kind.
    """

    def __init__(self, context: str, options: AnswerOptions) -> None:
        self._context, self._options = context, options
        self._found: dict[str, Answer] = {}
        self._no_answer = np.inf

    def add(
        self, encoding: Any, candidates: NDArray[np.bool_], outputs: dict[str, NDArray[Any]]
    ) -> None:
        """Add the answers that one part has."""
        options = self._options
        # Some are the same once they are whole words.
        count = options.top_k * 2 + 10 if options.align_to_words else options.top_k
        spans, no_answer = best_spans(
            outputs["start_logits"],
            outputs["end_logits"],
            candidates,
            count,
            options.max_answer_len,
        )
        self._no_answer = min(self._no_answer, no_answer)
        for first, last, score in spans:
            start, end = span_characters(encoding, first, last, options.align_to_words)
            text = self._context[start:end]
            answer = {"score": 0.0, "start": start, "end": end, "answer": text}
            self._found.setdefault(text.lower(), answer)["score"] += score

    def best(self) -> list[Answer]:
        """Return the likeliest answers."""
        answers = list(self._found.values())
        if self._options.handle_impossible_answer:
            answers.append({"score": float(self._no_answer), **_NO_ANSWER})
        ranked = sorted(answers, key=lambda answer: -answer["score"])
        return ranked[: self._options.top_k]
