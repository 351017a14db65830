from dataclasses import replace

import numpy as np
import pytest
from tiny_bert import CONFIG, TEXTS, bert_tensors, write_checkpoint

from tvm_sparse.api.evaluation import evaluate as evaluate_models
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.errors import ConfigError, InputError
from tvm_sparse.fidelity.evaluate import Texts, evaluate, find_tokenizer, run_side
from tvm_sparse.fidelity.sides import open_side
from tvm_sparse.host import detect_host
from tvm_sparse.records.write import json_text
from tvm_sparse.text.tokens import load_tokenizer

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pruned_side(pruned_dir, shared_cache, dense_side):
    return open_side(
        str(pruned_dir), CompileSpec(threads=1), shared_cache, dense_side, batch=4, seq_len=16
    )


def test_a_pruned_model_against_the_dense_one(dense_side, pruned_side):
    assert pruned_side.code is dense_side.code  # one architecture, one compilation
    lines = []
    record = evaluate(
        pruned_side, dense_side, Texts(TEXTS), 1, progress=lambda line, share: lines.append(line)
    )
    assert record.texts == len(TEXTS)
    assert 0 < record.measures["cosine_mean"] < 1
    assert record.measures["cosine_min"] <= record.measures["cosine_p05"]
    assert not record.reference.seeded
    assert dict.fromkeys(lines).keys() == {
        f"running the dense model on {len(TEXTS)} texts",
        f"running the pruned model on {len(TEXTS)} texts",
    }
    json_text(record)


@pytest.mark.skipif(detect_host().isa == "aarch64", reason="no products of integers there")
def test_what_rounding_costs_alone(dense_dir, shared_cache):
    name, shape = str(dense_dir), {"batch": 4, "seq_len": 16}
    record = evaluate_models(
        *(name, name, Texts(TEXTS)),
        quantization=QuantizationSpec(),
        threads=1,
        cache_dir=shared_cache,
        **shape,
    )
    assert record.candidate.name == f"{name} (int8)"
    assert 0.9 < record.measures["cosine_mean"] < 1 - 1e-7


def test_a_model_equals_itself(dense_side):
    record = evaluate(dense_side, dense_side, Texts(TEXTS), 1)
    assert record.measures["loss"] == 0
    assert record.measures["cosine_min"] == 1


def test_rows_that_only_fill_the_last_batch_up_do_not_count(dense_side):
    tokenizer = load_tokenizer(dense_side.directory)
    seven, eight = (run_side(dense_side, tokenizer.encode(TEXTS[:n], 16)) for n in (7, 8))
    np.testing.assert_array_equal(seven["embeddings"], eight["embeddings"][:7])


def with_task(side, task):
    return replace(side, description=replace(side.description, task=task))


def test_pairs_that_cannot_be_compared(dense_side):
    shorter = tuple(replace(tensor, shape=(4, 8)) for tensor in dense_side.inputs)
    for other, message in (
        (with_task(dense_side, "masked-lm"), "two versions of one model"),
        (replace(dense_side, inputs=shorter), "one sequence length"),
    ):
        with pytest.raises(ConfigError, match=message):
            evaluate(other, dense_side, Texts(TEXTS), 1)
    other = with_task(dense_side, "image-classification")
    with pytest.raises(ConfigError, match="fidelity on texts"):
        evaluate(other, other, Texts(TEXTS), 1)


def test_the_tokenizer_is_that_of_either_model(dense_side, dense_dir, tmp_path):
    elsewhere = replace(dense_side.weights, source=str(tmp_path))
    without = replace(dense_side, weights=elsewhere)
    assert find_tokenizer([without.directory, dense_side.directory]) == str(dense_dir)
    with pytest.raises(InputError, match="--tokenizer"):
        find_tokenizer([without.directory])
    record = evaluate(without, without, Texts(TEXTS), 1, tokenizer_dir=str(dense_dir))
    assert record.measures["loss"] == 0


def test_embeddings_do_not_depend_on_padding(dense_side):
    """The same text alone and beside a longer one."""
    tokenizer = load_tokenizer(dense_side.directory)
    alone = run_side(dense_side, tokenizer.encode(["a blue bird"], 16))["embeddings"]
    beside = run_side(dense_side, tokenizer.encode(["a blue bird", TEXTS[2]], 16))["embeddings"]
    np.testing.assert_allclose(alone[0], beside[0], atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "head", "labels", "measures", "scores"),
    [
        (
            *("BertForSequenceClassification", "classifier", ["LABEL_0", "1", "0"] * 4),
            *({"loss", "agreement", "kl_nats"}, {"accuracy", "f1"}),
        ),
        (
            *("BertForQuestionAnswering", "qa_outputs", ["the red fish", "[]", "bird|fish"] * 4),
            *({"loss", "exact_match", "overlap_f1", "kl_nats"}, {"exact_match", "f1"}),
        ),
    ],
)
def test_task_heads_with_labels(
    tmp_path, shared_cache, architecture, head, labels, measures, scores
):
    config = {**CONFIG, "architectures": [architecture], "num_hidden_layers": 1}
    body = {n: v for n, v in bert_tensors(config).items() if "pooler" not in n}
    if head == "classifier":
        body = bert_tensors(config)
    rng = np.random.default_rng(3)
    tensors = {f"bert.{name}": value for name, value in body.items()}
    tensors[f"{head}.weight"] = rng.normal(0, 1, (2, 32)).astype(np.float32)
    tensors[f"{head}.bias"] = np.zeros(2, np.float32)
    dense = write_checkpoint(tmp_path / "dense", tensors, config)
    side = open_side(str(dense), CompileSpec(threads=1), shared_cache, batch=4, seq_len=16)
    rough = {
        name: np.where(np.abs(value) < np.median(np.abs(value)), 0, value)
        if value.ndim == 2 and "layer" in name
        else value
        for name, value in side.model.params.items()
    }
    texts = [f"{text}\t{context}" for text, context in zip(TEXTS, TEXTS[::-1], strict=True)]
    pruned = side.with_forward(side.code.pack(rough))
    record = evaluate(pruned, side, Texts(texts, labels), 1)
    assert record.measures.keys() == measures
    assert record.measures["loss"] > 0
    assert record.reference.scores.keys() == record.candidate.scores.keys() == scores
    same = evaluate(side, side, Texts(texts, labels), 1)
    assert same.measures["loss"] == 0
    assert same.reference.scores == same.candidate.scores
