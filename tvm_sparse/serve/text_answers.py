"""Tasks on texts in the tensors of the protocol: what each is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from tvm_sparse.serve.options import call
from tvm_sparse.serve.refusal import wrong
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.signature import Signature
from tvm_sparse.serve.tensors import BYTES, Tensor, TensorPlace, of_numbers, of_texts
from tvm_sparse.text.pipelines import Pipeline

Tensors = dict[str, Tensor]
Options = Mapping[str, Any]
PLATFORM = "tvm_sparse_text"
#: Parameters of requests that are for the server, or for Triton.
NOT_OPTIONS = {
    *("binary_data_output", "timeout", "priority", "sequence_id", "sequence_start"),
    *("sequence_end", "triton_enable_empty_final_response"),
}


@dataclass(frozen=True)
class TextForm:
    """How a task is asked and answers.

    Attributes
    ----------
    inputs, outputs : tuple of TensorPlace
        What it takes and returns.
    ask : callable
        Asks a pipeline the texts of each input, with options; returns the outputs.
    """

    inputs: tuple[TensorPlace, ...]
    outputs: tuple[TensorPlace, ...]
    ask: Callable[[Pipeline, dict[str, list[str]], Options], Tensors]


def signature_of(task: str) -> Signature:
    """Return what a model takes that is asked a task."""
    form = TEXT_FORMS[task]
    return Signature(PLATFORM, form.inputs, form.outputs)


def answer_texts(
    task: str, pipeline: Pipeline, options: Options, request: Request
) -> dict[str, Tensor]:
    """Return what a task's pipeline answers to a request.

    Parameters
    ----------
    task : str
        A key of `TEXT_FORMS`.
    pipeline : callable
        Its pipeline.
    options : mapping
        Of the configuration; those of the request go before them.
    request : Request
        Checked.

    Raises
    ------
    Refusal, InputError, ConfigError
        Texts or options that the pipeline refuses.
    """
    texts = {name: tensor.texts(name) for name, tensor in request.inputs.items()}
    given = {k: v for k, v in request.parameters.items() if k not in NOT_OPTIONS}
    counts = {len(value) for value in texts.values()}
    if 0 in counts:
        raise wrong("no text given: the first extent of an input is 0")
    return TEXT_FORMS[task].ask(pipeline, texts, {**options, **given})


def _embed(pipeline: Pipeline, texts: dict[str, list[str]], options: Options) -> Tensors:
    return {"EMBEDDING": of_numbers(call(pipeline, texts["TEXT"], **options))}


def _features(pipeline: Pipeline, texts: dict[str, list[str]], options: Options) -> Tensors:
    states = call(pipeline, texts["TEXT"], **options)
    return {
        "FEATURES": of_numbers(np.concatenate([one[0] for one in states])),
        "TOKENS": of_numbers(np.array([one.shape[1] for one in states], np.int64)),
    }


def _classify(pipeline: Pipeline, texts: dict[str, list[str]], options: Options) -> Tensors:
    given: list[Any] = texts["TEXT"]
    if "TEXT_PAIR" in texts:
        _same_count(texts, "TEXT", "TEXT_PAIR")
        pairs = zip(given, texts["TEXT_PAIR"], strict=True)
        given = [{"text": one, "text_pair": other} for one, other in pairs]
    found = call(pipeline, given, **{"top_k": 1, **options})
    return {
        "LABEL": of_texts(
            [one["label"] for row in found for one in row], (len(found), len(found[0]))
        ),
        "SCORE": of_numbers(np.array([[one["score"] for one in row] for row in found], np.float32)),
    }


def _rank(pipeline: Pipeline, texts: dict[str, list[str]], options: Options) -> Tensors:
    if len(texts["QUERY"]) != 1:
        raise wrong(f"input 'QUERY' has {len(texts['QUERY'])} elements: give one")
    scores = np.empty(len(texts["TEXT"]), np.float32)
    for one in call(pipeline, texts["QUERY"][0], texts["TEXT"], **{**options, "top_k": None}):
        scores[one["corpus_id"]] = one["score"]
    return {"SCORE": of_numbers(scores)}


def _question(pipeline: Pipeline, texts: dict[str, list[str]], options: Options) -> Tensors:
    questions, contexts = texts["QUESTION"], texts["CONTEXT"]
    if len(contexts) == 1:
        contexts = contexts * len(questions)
    _same_count({"QUESTION": questions, "CONTEXT": contexts}, "QUESTION", "CONTEXT")
    found = call(pipeline, questions, contexts, **{**options, "top_k": 1})
    # A list is of no answers: the text has none.
    none = {"answer": "", "score": 0.0, "start": 0, "end": 0}
    rows: list[dict[str, Any]] = [one if isinstance(one, dict) else none for one in found]
    return {
        "ANSWER": of_texts([one["answer"] for one in rows]),
        "SCORE": of_numbers(np.array([one["score"] for one in rows], np.float32)),
        "START": of_numbers(np.array([one["start"] for one in rows], np.int64)),
        "END": of_numbers(np.array([one["end"] for one in rows], np.int64)),
    }


def _zero_shot(pipeline: Pipeline, texts: dict[str, list[str]], options: Options) -> Tensors:
    if "candidate_labels" not in options:
        raise wrong("parameter 'candidate_labels' is missing: give classes, for example 'a,b,c'")
    return _as_json(call(pipeline, texts["TEXT"], **options))


def _plain(pipeline: Pipeline, texts: dict[str, list[str]], options: Options) -> Tensors:
    return _as_json(call(pipeline, texts["TEXT"], **options))


def _as_json(answers: list[Any]) -> Tensors:
    written = [
        orjson.dumps(one, option=orjson.OPT_SERIALIZE_NUMPY, default=float) for one in answers
    ]
    return {"ANSWER": Tensor(BYTES, (len(written),), written)}


def _same_count(texts: dict[str, list[str]], first: str, second: str) -> None:
    if len(texts[first]) != len(texts[second]):
        raise wrong(
            f"inputs '{first}' and '{second}' have {len(texts[first])} and {len(texts[second])} "
            "elements: give as many"
        )


def _text(name: str, optional: bool = False) -> TensorPlace:
    return TensorPlace(name, BYTES, (-1,), optional)


_JSON = (_text("ANSWER"),)
#: By the names of `text.pipelines.TEXT_TASKS`.
TEXT_FORMS = {
    "sentence-embedding": TextForm(
        (_text("TEXT"),), (TensorPlace("EMBEDDING", "FP32", (-1, -1)),), _embed
    ),
    "feature-extraction": TextForm(
        (_text("TEXT"),),
        (TensorPlace("FEATURES", "FP32", (-1, -1)), TensorPlace("TOKENS", "INT64", (-1,))),
        _features,
    ),
    "text-classification": TextForm(
        (_text("TEXT"), _text("TEXT_PAIR", optional=True)),
        (TensorPlace("LABEL", BYTES, (-1, -1)), TensorPlace("SCORE", "FP32", (-1, -1))),
        _classify,
    ),
    "zero-shot-classification": TextForm((_text("TEXT"),), _JSON, _zero_shot),
    "text-ranking": TextForm(
        (_text("QUERY"), _text("TEXT")), (TensorPlace("SCORE", "FP32", (-1,)),), _rank
    ),
    "token-classification": TextForm((_text("TEXT"),), _JSON, _plain),
    "question-answering": TextForm(
        (_text("QUESTION"), _text("CONTEXT")),
        (
            _text("ANSWER"),
            TensorPlace("SCORE", "FP32", (-1,)),
            TensorPlace("START", "INT64", (-1,)),
            TensorPlace("END", "INT64", (-1,)),
        ),
        _question,
    ),
    "fill-mask": TextForm((_text("TEXT"),), _JSON, _plain),
}
