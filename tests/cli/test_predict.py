"""`tvm-sparse predict`: what it prints, and what it refuses."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from text_artifact import SEQ_LEN, build_text_artifact

import tvm_sparse
from tvm_sparse.runtime.metadata import load_metadata, save_metadata

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def encoder_dir(tmp_path_factory):
    return build_text_artifact(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def classifier_dir(tmp_path_factory):
    return build_text_artifact(tmp_path_factory.mktemp("classes"), "text-classification")


def test_an_artifact_without_tokenizer_says_so(encoder_dir, tmp_path, invoke):
    shutil.copytree(encoder_dir, tmp_path / "artifact")
    (tmp_path / "artifact/tokenizer.json").unlink()
    metadata = load_metadata(encoder_dir)
    files = {"model.so": metadata.files["model.so"]}
    save_metadata(tmp_path / "artifact", replace(metadata, text=None, files=files))
    result = invoke("predict", tmp_path / "artifact", "a text")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(
        "error: the artifact of tiny has no tokenizer: export a checkpoint"
    )


def test_predict_prints_a_line_of_json_for_every_text(encoder_dir, invoke, monkeypatch):
    stdin = io.TextIOWrapper(io.BytesIO(b"the ferry\n\nbread\n"))
    monkeypatch.setattr("sys.stdin", stdin)
    result = invoke("predict", encoder_dir, "-", "--json")
    assert (result.code, result.err) == (0, "")
    found = [json.loads(line) for line in result.out.splitlines()]
    wanted = tvm_sparse.load(encoder_dir).encode(["the ferry", "bread"])
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_predict_classes(classifier_dir, invoke, tmp_path):
    (tmp_path / "texts.txt").write_text("the ferry\nbread\ta pair\n" + "the " * 100)
    result = invoke("predict", classifier_dir, "--texts", tmp_path / "texts.txt", "--top-k", "2")
    assert result.code == 0
    assert result.err == f"note: 1 of 3 texts were longer than {SEQ_LEN} tokens, and cut there\n"
    first, *classes = result.out.splitlines()[:3]
    assert first == "the ferry"
    pipeline = tvm_sparse.pipeline(None, classifier_dir)
    wanted = pipeline("the ferry", top_k=2)
    assert classes == [f"  {one['score']:.4f}  {one['label']}" for one in wanted]
    alone = invoke("predict", classifier_dir, "the ferry", "--task", "sentiment-analysis")
    assert alone.out == f"{wanted[0]['score']:.4f}  {wanted[0]['label']}\n"


def test_predict_refuses_in_one_line(encoder_dir, classifier_dir, invoke, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    for arguments, message in [
        ((encoder_dir,), "no text given: give texts, - for standard input, or --texts FILE"),
        ((encoder_dir, "a", "--texts", "x"), "texts and --texts given"),
        ((encoder_dir, "--texts", tmp_path / "none"), "cannot be read"),
        ((encoder_dir, "--texts", tmp_path / "empty.txt"), "holds no text"),
        ((encoder_dir, "a", "--task", "ner"), "is a model for encoder"),
        ((encoder_dir, "a", "--labels", "x,y"), "--labels given, which is for zero-shot"),
        ((classifier_dir, "a", "--top-k", "0"), "top_k 0 given"),
        ((classifier_dir, "a", "--task", "text-ranking"), "--query is missing"),
        ((classifier_dir, "a", "--task", "text-ranking", "--query", "b"), "has 8 classes"),
        (
            (classifier_dir, "a", "--task", "zero-shot-classification", "--labels", "x"),
            "has one that begins with entail",
        ),
    ]:
        result = invoke("predict", *arguments)
        assert (result.code, result.out) == (2, ""), arguments
        assert result.err.startswith("error: ")
        assert message in result.err
        assert result.err.count("\n") == 1
