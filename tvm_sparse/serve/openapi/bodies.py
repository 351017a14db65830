"""JSON Schemas of what pipelines are asked and answer in DeepSparse's words."""

from __future__ import annotations

from typing import Any

from tvm_sparse.serve.openapi.parts import NUMBER, TEXT, WHOLE, Schema, array, either, record, refer
from tvm_sparse.serve.pipeline_bodies import BODIES, FURTHER

_TEXTS = either(TEXT, array(TEXT))
_PAIR = array(TEXT, minItems=1, maxItems=2)
#: Of each field its schema and an example.
_FIELDS: dict[str, tuple[Schema, Any]] = {
    "question": (TEXT, "Who kept the lamp?"),
    "context": (TEXT, "Marta Holm kept the lamp for thirty-four years."),
    "sequences": (either(TEXT, array(either(TEXT, _PAIR))), "The soup was hot, the bread fresh."),
    "labels": (either(TEXT, array(TEXT, minItems=1)), ["food", "weather"]),
    "hypothesis_template": (TEXT, "This text is about {}."),
    "multi_class": ({"type": "boolean"}, False),
    "inputs": (_TEXTS, ["A small bird sings."]),
    "query": (TEXT, "how warm is a bee hive"),
    "documents": (_TEXTS, ["Bees keep their nest warm.", "The lamp turns."]),
}
_OTHER_FIELDS = {
    ("zero-shot-classification", "sequences"): (_TEXTS, "The river will rise by a metre."),
    ("fill-mask", "inputs"): (_TEXTS, ["A small bird sings in the [MASK]."]),
}
# Several of each text where several classes are asked for.
_LABELS, _SCORES = (either(array(one), array(array(one))) for one in (TEXT, NUMBER))
_PREDICTIONS = record(predictions={"type": "array"})
_EMBEDDINGS = record(embeddings=array(array(NUMBER)))
#: What is answered.
_ANSWERS: dict[str, Schema] = {
    "question-answering": record(score=NUMBER, answer=TEXT, start=WHOLE, end=WHOLE),
    "text-classification": record(labels=_LABELS, scores=_SCORES),
    "zero-shot-classification": record(sequences=_TEXTS, labels=_LABELS, scores=_SCORES),
    "token-classification": _PREDICTIONS,
    "fill-mask": _PREDICTIONS,
    "sentence-embedding": _EMBEDDINGS,
    "feature-extraction": _EMBEDDINGS,
    "text-ranking": record(results=array(record(corpus_id=WHOLE, score=NUMBER))),
}


def body_schemas() -> dict[str, Schema]:
    """Return the schemas of all tasks, by name."""
    asked = {f"{_title(task)}Request": _body(task) for task in BODIES}
    return asked | {f"{_title(task)}Response": _ANSWERS[task] for task in BODIES}


def refer_to_body(task: str) -> tuple[Schema, Schema]:
    """Return what refers to the schemas of what a task's pipeline is asked and answers."""
    return refer(f"{_title(task)}Request"), refer(f"{_title(task)}Response")


def body_example(task: str) -> dict[str, Any]:
    """Return something to ask the pipeline of a task."""
    names = (*BODIES[task][0], *(name for name in FURTHER.get(task, ()) if name == "labels"))
    return {name: _field(task, name)[1] for name in names}


def _body(task: str) -> Schema:
    needed = BODIES[task][0]
    return {
        "type": "object",
        "properties": {name: _field(task, name)[0] for name in (*needed, *FURTHER.get(task, ()))},
        "required": list(needed),
        "additionalProperties": False,
    }


def _field(task: str, name: str) -> tuple[Schema, Any]:
    return _OTHER_FIELDS.get((task, name), _FIELDS[name])


def _title(task: str) -> str:
    return task.title().replace("-", "")
