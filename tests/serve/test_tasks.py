"""Every task over the protocol and over its route says what its pipeline says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from lookup_pipelines import pipeline_of
from text_checkpoints import mask_token

from tvm_sparse.serve.inference import write_response
from tvm_sparse.serve.messages import to_json
from tvm_sparse.serve.pipeline_bodies import BODIES, answer_body, count_texts, is_pipeline_body
from tvm_sparse.serve.refusal import Refusal
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.tensors import of_texts
from tvm_sparse.serve.text_answers import TEXT_FORMS, answer_texts, signature_of
from tvm_sparse.text.pipelines import TEXT_TASKS, Pipeline

pytestmark = pytest.mark.unit

TEXTS = ["a small bird sings", "the tree, near the old house", "fish"]


@pytest.fixture(params=TEXT_TASKS)
def asked(request, tmp_path) -> tuple[str, Pipeline]:
    return request.param, pipeline_of(request.param, tmp_path / "model")


def over_the_protocol(task: str, pipeline: Pipeline, options: dict[str, Any], **inputs: list[str]):
    tensors = {name: of_texts(texts) for name, texts in inputs.items()}
    request = Request(tensors, {}, options)
    signature_of(task).check_inputs(task, tensors)
    outputs = answer_texts(task, pipeline, {}, request)
    places = {place.name: place for place in TEXT_FORMS[task].outputs}
    signature_of(task).check_outputs(task, dict.fromkeys(outputs, False))
    assert list(outputs) == list(places)
    for name, tensor in outputs.items():
        assert (tensor.datatype, len(tensor.shape)) == (
            places[name].datatype,
            len(places[name].shape),
        )
    document = orjson.loads(write_response(task, request, outputs)[0])
    return {one["name"]: (one["data"], tuple(one["shape"])) for one in document["outputs"]}


def over_its_route(task: str, pipeline: Pipeline, **body: Any) -> dict[str, Any]:
    assert is_pipeline_body(task, body)
    return orjson.loads(to_json(answer_body(task, pipeline, {}, body)))


def test_what_a_pipeline_says(asked, capfd) -> None:
    task, pipeline = asked
    check = globals()[f"check_{task.replace('-', '_')}"]
    check(task, pipeline)
    assert capfd.readouterr() == ("", "")


def check_sentence_embedding(task: str, pipeline: Pipeline) -> None:
    wanted = pipeline(TEXTS)
    # A server shows no bar.
    options = {"batch_size": 2, "show_progress_bar": True}
    data, shape = over_the_protocol(task, pipeline, options, TEXT=TEXTS)["EMBEDDING"]
    np.testing.assert_array_equal(np.reshape(data, shape).astype(np.float32), wanted)
    answer = over_its_route(task, pipeline, inputs=TEXTS)
    np.testing.assert_array_equal(np.float32(answer["embeddings"]), wanted)


def check_feature_extraction(task: str, pipeline: Pipeline) -> None:
    wanted = pipeline(TEXTS)
    outputs = over_the_protocol(task, pipeline, {}, TEXT=TEXTS)
    assert outputs["TOKENS"][0] == [one.shape[1] for one in wanted]
    found = np.float32(outputs["FEATURES"][0]).reshape(outputs["FEATURES"][1])
    np.testing.assert_array_equal(found, np.concatenate([one[0] for one in wanted]))
    answer = over_its_route(task, pipeline, inputs=TEXTS)
    assert [len(one) for one in answer["embeddings"]] == [one.size for one in wanted]


def check_text_classification(task: str, pipeline: Pipeline) -> None:
    wanted = pipeline([{"text": one, "text_pair": "a pair"} for one in TEXTS], top_k=2)
    pairs = {"TEXT": TEXTS, "TEXT_PAIR": ["a pair"] * 3}
    outputs = over_the_protocol(task, pipeline, {"top_k": 2}, **pairs)
    assert outputs["LABEL"] == ([one["label"] for row in wanted for one in row], (3, 2))
    scores = [one["score"] for row in wanted for one in row]
    np.testing.assert_allclose(outputs["SCORE"][0], scores, rtol=1e-6)
    best = pipeline(TEXTS)
    answer = over_its_route(task, pipeline, sequences=[[one] for one in TEXTS])
    assert answer["labels"] == [one["label"] for one in best]
    with pytest.raises(Refusal, match="inputs 'TEXT' and 'TEXT_PAIR' have 3 and 1 elements"):
        over_the_protocol(task, pipeline, {}, TEXT=TEXTS, TEXT_PAIR=["one"])


def check_zero_shot_classification(task: str, pipeline: Pipeline) -> None:
    wanted = pipeline(TEXTS, "sports, music")
    options = {"candidate_labels": "sports, music"}
    (data, _) = over_the_protocol(task, pipeline, options, TEXT=TEXTS)["ANSWER"]
    assert list(map(json.loads, data)) == wanted
    answer = over_its_route(task, pipeline, sequences=TEXTS[0], labels=["sports", "music"])
    assert answer == {
        "sequences": TEXTS[0],
        "labels": wanted[0]["labels"],
        "scores": wanted[0]["scores"],
    }
    for template in ("{:>999999999}", "{0.__class__} {}", "no place"):
        with pytest.raises(Refusal, match="parameter 'hypothesis_template'"):
            over_the_protocol(
                task, pipeline, {**options, "hypothesis_template": template}, TEXT=TEXTS
            )
    with pytest.raises(Refusal, match="'candidate_labels' is missing"):
        over_the_protocol(task, pipeline, {}, TEXT=TEXTS)
    with pytest.raises(Refusal, match="field labels is missing"):
        over_its_route(task, pipeline, sequences=TEXTS)


def check_text_ranking(task: str, pipeline: Pipeline) -> None:
    wanted = pipeline("a bird", TEXTS)
    options = {"return_documents": True}  # they are no tensor
    outputs = over_the_protocol(task, pipeline, options, QUERY=["a bird"], TEXT=TEXTS)
    ranked = sorted(wanted, key=lambda one: one["corpus_id"])
    np.testing.assert_allclose(outputs["SCORE"][0], [one["score"] for one in ranked], rtol=1e-6)
    assert over_its_route(task, pipeline, query="a bird", documents=TEXTS) == {"results": wanted}
    with pytest.raises(Refusal, match="'QUERY' has 2 elements: give one"):
        over_the_protocol(task, pipeline, {}, QUERY=["a", "b"], TEXT=TEXTS)


def check_token_classification(task: str, pipeline: Pipeline) -> None:
    options = {"aggregation_strategy": "simple"}
    wanted = json.loads(json.dumps(pipeline(TEXTS, **options), default=float))
    (data, _) = over_the_protocol(task, pipeline, options, TEXT=TEXTS)["ANSWER"]
    assert list(map(json.loads, data)) == wanted
    assert any(wanted)
    plain = json.loads(json.dumps(pipeline(TEXTS), default=float))
    assert over_its_route(task, pipeline, inputs=TEXTS) == {"predictions": plain}


def check_question_answering(task: str, pipeline: Pipeline) -> None:
    wanted = pipeline(["what", "who"], TEXTS[1])
    inputs = {"QUESTION": ["what", "who"], "CONTEXT": TEXTS[1:2]}
    outputs = over_the_protocol(task, pipeline, {}, **inputs)
    assert outputs["ANSWER"][0] == [one["answer"] for one in wanted]
    assert outputs["START"][0] == [one["start"] for one in wanted]
    np.testing.assert_allclose(outputs["SCORE"][0], [one["score"] for one in wanted], rtol=1e-6)
    answer = over_its_route(task, pipeline, question="who", context=TEXTS[1])
    assert answer == wanted[1]
    with pytest.raises(Refusal, match="inputs 'QUESTION' and 'CONTEXT' have 3 and 2 elements"):
        over_the_protocol(task, pipeline, {}, QUESTION=TEXTS, CONTEXT=TEXTS[:2])
    with pytest.raises(Refusal, match="field context: a text is needed"):
        over_its_route(task, pipeline, question="who", context=3)


def check_fill_mask(task: str, pipeline: Pipeline) -> None:
    texts = [f"{text} {mask_token('word-pieces')}" for text in TEXTS]
    wanted = pipeline(texts, top_k=2)
    (data, _) = over_the_protocol(task, pipeline, {"top_k": 2}, TEXT=texts)["ANSWER"]
    assert list(map(json.loads, data)) == wanted
    answer = over_its_route(task, pipeline, inputs=texts[0])
    assert answer == {"predictions": [pipeline(texts[0])]}


def test_all_tasks_can_be_asked_in_both_ways() -> None:
    assert list(TEXT_FORMS) == list(TEXT_TASKS)
    assert set(BODIES) == set(TEXT_TASKS)


@pytest.mark.parametrize(
    ("task", "body", "count"),
    [
        ("question-answering", {"question": "who", "context": "a"}, 1),
        ("text-ranking", {"query": "who", "documents": TEXTS}, 3),
        ("text-classification", {"sequences": [["a", "pair"], "b"]}, 2),
        ("zero-shot-classification", {"sequences": "a", "labels": ["x", "y", "z"]}, 1),
        ("fill-mask", {"inputs": TEXTS}, 3),
        ("fill-mask", {"inputs": 3}, 1),
        ("fill-mask", {}, 1),
    ],
)
def test_texts_are_counted(task, body, count) -> None:
    assert count_texts(task, body) == count
