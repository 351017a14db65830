"""Requests and answers as DeepSparse's server had them: plain JSON for each task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tvm_sparse.serve.options import call
from tvm_sparse.serve.refusal import wrong
from tvm_sparse.text.pipelines import Pipeline

Body = dict[str, Any]


def is_pipeline_body(task: str, body: Body) -> bool:
    """Tell whether a body is what a pipeline is asked, and not tensors."""
    inputs = body.get("inputs")
    tensors = isinstance(inputs, list) and (not inputs or isinstance(inputs[0], dict))
    return not tensors and all(name in body for name in BODIES[task][0])


def count_texts(task: str, body: Body) -> int:
    """Return how many texts, or pairs of texts, a body asks about."""
    given = (body.get(name) for name in BODIES[task][0])
    return max(len(one) if isinstance(one, list) else 1 for one in given)


def answer_body(task: str, pipeline: Pipeline, options: Mapping[str, Any], body: Body) -> Body:
    """Return what a task's pipeline answers to such a body.

    Parameters
    ----------
    task : str
        A key of `BODIES`.
    pipeline : callable
        Its pipeline.
    options : mapping
        Of the configuration.
    body : dict
        The JSON object of the request.

    Raises
    ------
    Refusal, InputError, ConfigError
        A field is missing, unknown, or holds what the pipeline refuses.
    """
    needed, ask = BODIES[task]
    known = (*needed, *FURTHER.get(task, ()))
    missing = [name for name in needed if name not in body]
    unknown = [name for name in body if name not in known]
    for what, names in (("missing", missing), ("unknown", unknown)):
        if names:
            raise wrong(f"{what} field {', '.join(names)[:100]}: {task} takes {', '.join(known)}")
    return ask(pipeline, body, options)


def _question(pipeline: Pipeline, body: Body, options: Mapping[str, Any]) -> Body:
    found = call(pipeline, _text(body, "question"), _text(body, "context"), **options)
    answer = (found[0] if found else {}) if isinstance(found, list) else found
    none = {"score": 0.0, "answer": "", "start": 0, "end": 0}
    return {name: answer.get(name, value) for name, value in none.items()}


def _classify(pipeline: Pipeline, body: Body, options: Mapping[str, Any]) -> Body:
    given = body["sequences"]
    texts = [_pair(one) for one in (given if isinstance(given, list) else [given])]
    found = call(pipeline, texts, **{"top_k": 1, **options})
    several = any(len(row) > 1 for row in found)
    return {
        name: [[one[key] for one in row] if several else row[0][key] for row in found]
        for name, key in (("labels", "label"), ("scores", "score"))
    }


def _pair(texts: Any) -> Any:
    """Return one text, or a list of one or two, as the pipeline takes it."""
    parts = texts if isinstance(texts, list) else [texts]
    if not 1 <= len(parts) <= 2 or not all(isinstance(one, str) for one in parts):
        raise wrong("field sequences: each is a text, or a list of one or two")
    return parts[0] if len(parts) == 1 else {"text": parts[0], "text_pair": parts[1]}


def _zero_shot(pipeline: Pipeline, body: Body, options: Mapping[str, Any]) -> Body:
    names = {
        "labels": "candidate_labels",
        "multi_class": "multi_label",
        "hypothesis_template": "hypothesis_template",
    }
    given = {ours: body[theirs] for theirs, ours in names.items() if theirs in body}
    options = {**options, **given}
    if "candidate_labels" not in options:
        raise wrong("field labels is missing: give a list of classes")
    found = call(pipeline, _texts(body, "sequences"), **options)
    keys = {"sequences": "sequence", "labels": "labels", "scores": "scores"}
    if isinstance(body["sequences"], str):
        return {name: found[0][key] for name, key in keys.items()}
    return {name: [one[key] for one in found] for name, key in keys.items()}


def _tokens(pipeline: Pipeline, body: Body, options: Mapping[str, Any]) -> Body:
    return {"predictions": call(pipeline, _texts(body, "inputs"), **options)}


def _embed(pipeline: Pipeline, body: Body, options: Mapping[str, Any]) -> Body:
    found = call(pipeline, _texts(body, "inputs"), **options)
    return {"embeddings": [one.reshape(-1) for one in found]}


def _rank(pipeline: Pipeline, body: Body, options: Mapping[str, Any]) -> Body:
    documents = _texts(body, "documents")
    return {"results": call(pipeline, _text(body, "query"), documents, **options)}


def _text(body: Body, name: str) -> str:
    value = body[name]
    if not isinstance(value, str):
        raise wrong(f"field {name}: a text is needed")
    return value


def _texts(body: Body, name: str) -> list[str]:
    value = body[name]
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise wrong(f"field {name}: a text or a list of texts is needed")
    return found


_Ask = Callable[[Pipeline, Body, Mapping[str, Any]], Body]
#: The fields that a task needs, and what answers them; ours where DeepSparse had no such task.
BODIES: dict[str, tuple[tuple[str, ...], _Ask]] = {
    "question-answering": (("question", "context"), _question),
    "text-classification": (("sequences",), _classify),
    "zero-shot-classification": (("sequences",), _zero_shot),
    "token-classification": (("inputs",), _tokens),
    "sentence-embedding": (("inputs",), _embed),
    "feature-extraction": (("inputs",), _embed),
    "fill-mask": (("inputs",), _tokens),
    "text-ranking": (("query", "documents"), _rank),
}
#: Fields that may be left out.
FURTHER = {
    "zero-shot-classification": ("labels", "hypothesis_template", "multi_class"),
}
