"""The predictor: what pipelines answer, in the order of the rows, and errors beside it."""

from __future__ import annotations

import os
from types import SimpleNamespace

import numpy as np
import pytest
from text_artifact import SEQ_LEN

import tvm_sparse
from tvm_sparse.batch import Predictor
from tvm_sparse.batch.cores import pin_to_cores
from tvm_sparse.batch.metered import MeteredModel
from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.model.facts import TensorSpec

pytestmark = pytest.mark.unit

CLASSES = "zero-shot-classification"
TEXTS = ["the ferry", "bread", "the red ferry leaves", "a", "the the the"]


def ask(artifact: str, task: str, texts: list, **options) -> dict:
    predictor = Predictor(artifact, task, pin=False, **options)
    return predictor({"text": np.array(texts, object), "n": np.arange(len(texts))})


def test_embeddings_are_those_of_the_pipeline(builds):
    artifact = builds["feature-extraction"]
    found = ask(artifact, "sentence-embedding", TEXTS)
    wanted = tvm_sparse.load(artifact).encode(TEXTS)
    np.testing.assert_allclose(found["prediction"], wanted, atol=1e-6)
    assert found["n"].tolist() == list(range(5))
    assert found["error"].tolist() == [""] * 5
    states = ask(artifact, "feature-extraction", TEXTS)["prediction"]
    wanted = tvm_sparse.pipeline("feature-extraction", artifact)(TEXTS)
    for one, other in zip(states, wanted, strict=True):
        np.testing.assert_allclose(one, other[0], atol=1e-6)


def test_classes_are_those_of_the_pipeline(builds):
    artifact = builds["zero-shot-classification"]
    found = ask(artifact, "text-classification", TEXTS)["prediction"]
    wanted = tvm_sparse.pipeline("text-classification", artifact)(TEXTS)
    assert [one["label"] for one in found] == [one["label"] for one in wanted]
    labels = {"candidate_labels": "bread,the bird", "hypothesis_template": "{}"}
    found = ask(artifact, "zero-shot-classification", TEXTS, **labels)["prediction"]
    pipeline = tvm_sparse.pipeline("zero-shot-classification", artifact)
    for one, text in zip(found, TEXTS, strict=True):
        wanted = pipeline(text, **labels)
        assert one["labels"] == wanted["labels"]
        np.testing.assert_allclose(one["scores"], wanted["scores"], atol=1e-6)


def test_a_row_that_fails_takes_no_other_with_it(builds):
    texts = ["the ferry", None, "", 7, "bread"]
    found = ask(
        builds["zero-shot-classification"],
        "zero-shot-classification",
        texts,
        candidate_labels=["a", "b"],
        hypothesis_template="{}",
    )
    assert [bool(error) for error in found["error"]] == [False, True, True, True, False]
    assert found["error"][1] == "column 'text' holds no text: nothing found"
    assert found["error"][2] == "an empty text given: it has no class"
    assert found["prediction"][1] is None
    assert found["prediction"][4]["labels"]


def test_long_texts_are_cut_or_errors(builds):
    artifact = builds["text-classification"]
    fitting, long = "the " * (SEQ_LEN - 2), "the " * (SEQ_LEN - 1)
    predictor = Predictor(artifact, pin=False)
    answers, errors = predictor.answer([(fitting,), (long,)])
    assert answers[0] == answers[1]
    assert (errors, predictor.cuts) == (["", ""], 1)
    found = ask(artifact, "text-classification", [fitting, long], truncate=False)
    assert found["prediction"][0] == answers[0]
    assert list(found["error"]) == [
        "",
        f"the text has {SEQ_LEN - 1} tokens: the build takes {SEQ_LEN - 2} besides its own",
    ]


def test_padding_is_what_is_computed_besides():
    model = SimpleNamespace(
        inputs=(TensorSpec("input_ids", (2, 64), "int32"),),
        run_ragged=lambda sequences: [{} for _ in sequences],
        computed_tokens=lambda lengths: 64 * len(lengths),
    )
    meter, lengths = MeteredModel(model), (1, 3, 17, 40, 8)
    meter.run_ragged([[1] * length for length in lengths])
    assert (meter.tokens, meter.padding) == (69, 5 * 64 - 69)
    assert meter.seconds > 0


def test_what_a_task_needs_is_asked_for(builds):
    encoder, classes = builds["feature-extraction"], builds["zero-shot-classification"]
    with pytest.raises(ConfigError, match=r"candidate_labels \(--labels\) is missing"):
        Predictor(classes, CLASSES)
    with pytest.raises(InputError, match=r"\{\} must stand for the class"):
        Predictor(classes, CLASSES, candidate_labels="a", hypothesis_template="no place")
    with pytest.raises(ConfigError, match=r"--pair-column given: sentence-embedding reads one"):
        Predictor(encoder, pair_column="b")
    with pytest.raises(ConfigError, match="is a model for encoder"):
        Predictor(encoder, "fill-mask")


def test_cores_are_taken_once(tmp_path):
    mine = os.sched_getaffinity(0)
    try:
        first = pin_to_cores(1, tmp_path)
        assert first is not None
        assert set(first.numbers) == os.sched_getaffinity(0)
        assert pin_to_cores(1, tmp_path) is None  # of the one core that is left
        del first
        os.sched_setaffinity(0, mine)
        assert pin_to_cores(len(mine), tmp_path) is not None
    finally:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), mine)
