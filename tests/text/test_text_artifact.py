"""An artifact carries its tokenizer, and answers from texts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from text_artifact import SEQ_LEN, WIDTH, build_text_artifact

import tvm_sparse
from tvm_sparse.errors import ArtifactError, ConfigError, InputError
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.text.text_model import CutWarning

pytestmark = pytest.mark.unit


@pytest.fixture(scope="session")
def encoder_dir(tmp_path_factory):
    return build_text_artifact(tmp_path_factory.mktemp("encoder"))


def test_the_artifact_lists_what_it_carries(encoder_dir):
    metadata = load_metadata(encoder_dir)
    assert set(metadata.files) == {"model.so", "tokenizer.json", "pruning.json"}
    assert {path.name for path in encoder_dir.iterdir()} == {*metadata.files, "metadata.json"}
    assert metadata.text.special_tokens["mask"] == "[MASK]"
    assert (metadata.text.sentences.pooling, metadata.text.sentences.normalize) == (("mean",), True)


def test_embeddings_do_not_depend_on_the_batch(encoder_dir):
    model = tvm_sparse.load(encoder_dir)
    texts = ["the ferry leaves", "", "  bread ", "How long does it take?", "a"]
    together = model.encode(texts)
    assert (together.shape, together.dtype) == ((5, WIDTH), np.float32)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(model.encode(text, batch_size=1), vector, atol=1e-6)
    assert model.encode([]).size == 0


def test_an_embedding_is_the_mean_of_the_hidden_states(encoder_dir):
    model = tvm_sparse.load(encoder_dir)
    (hidden,) = tvm_sparse.pipeline("feature-extraction", model)("the ferry leaves")
    mean = hidden.mean(axis=0)
    wanted = mean / np.linalg.norm(mean)
    np.testing.assert_allclose(model.encode("the ferry leaves"), wanted, atol=1e-6)


def test_the_class_in_the_docs_gives_lists(encoder_dir):
    page = (Path(__file__).parents[2] / "docs/text.md").read_text(encoding="utf-8")
    code = page.split("## Embeddings")[1].split("```python\n")[1].split("```")[0]
    names = {}
    exec(compile(code, "text.md", "exec"), names)
    embeddings = names["Embeddings"](encoder_dir)
    (document,) = embeddings.embed_documents(["the ferry"])
    assert document == embeddings.embed_query("the ferry")
    assert [type(number) for number in document] == [float] * WIDTH


def test_a_prompt_is_put_before_a_text(encoder_dir):
    model = tvm_sparse.load(encoder_dir)
    wanted = model.encode("the red ferry")
    np.testing.assert_array_equal(model.encode("ferry", prompt_name="query"), wanted)
    np.testing.assert_array_equal(model.encode("ferry", prompt="the red "), wanted)
    with pytest.raises(ConfigError, match="prompt_name 'document' given"):
        model.encode("ferry", prompt_name="document")


def test_long_texts_are_cut_and_that_is_said(encoder_dir):
    model = tvm_sparse.load(encoder_dir)
    with pytest.warns(CutWarning, match=f"1 of 2 texts were longer than {SEQ_LEN - 4} tokens"):
        cut = model.encode(["the " * 500, "a"])
    np.testing.assert_allclose(cut[0], model.encode("the " * (SEQ_LEN - 6)), atol=1e-6)


def test_what_is_no_text_is_refused(encoder_dir):
    model = tvm_sparse.load(encoder_dir)
    for given, message in [
        (3, "3 given: a text or a list of texts"),
        ([3], "3 given: texts are needed"),
        ("\ud800", "the tokenizer fails on"),
    ]:
        with pytest.raises(InputError, match=message):
            model.encode(given)
    with pytest.raises(ConfigError, match="is a model for encoder: use sentence-embedding or"):
        tvm_sparse.pipeline("question-answering", model)
    with pytest.raises(ConfigError, match="did you mean fill-mask"):
        tvm_sparse.pipeline("fil-mask", model)


def test_another_tokenizer_is_refused(encoder_dir, tmp_path):
    shutil.copytree(encoder_dir, tmp_path / "artifact")
    model = tvm_sparse.load(tmp_path / "artifact")
    (tmp_path / "artifact/tokenizer.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is not the one that was exported"):
        model.encode("a")
