import io
from dataclasses import replace

import pytest
from example_pruning import example_sensitivity
from example_record import MODEL, WEIGHTS
from rich.console import Console

from tvm_sparse.analysis.layers import Analysis, LayerAnalysis
from tvm_sparse.bench.environment import detect_environment
from tvm_sparse.fidelity.record import EvaluatedModel, EvaluationRecord
from tvm_sparse.report.fidelity_table import describe_evaluation, render_evaluation
from tvm_sparse.report.sensitivity_table import describe_sensitivity, render_sensitivity

pytestmark = pytest.mark.unit


def text_of(renderable) -> str:
    stream = io.StringIO()
    Console(file=stream, width=160).print(renderable)
    return stream.getvalue()


def record(measures, **changes):
    return EvaluationRecord(
        task="encoder",
        reference=EvaluatedModel("dense", "model", WEIGHTS, seeded=False),
        candidate=EvaluatedModel("pruned", "model", WEIGHTS, seeded=False),
        measures=measures,
        texts=40,
        truncated=0,
        seq_len=64,
        seconds=1.0,
        environment=detect_environment(1),
        **changes,
    )


def test_embeddings():
    found = record(
        {
            "loss": 0.0123,
            "cosine_mean": 0.9877,
            "cosine_p05": 0.9,
            "cosine_min": 0.5,
            "neighbour_agreement": 0.875,
        }
    )
    table = text_of(render_evaluation(found))
    assert "pruned against dense, 40 texts" in table
    assert "0.9877" in table
    assert "87.5%" in table
    assert "loss" not in table
    assert describe_evaluation(found) == (
        "Embeddings of the pruned model have a mean cosine of 0.9877, and 87.5% of the texts keep "
        "their nearest neighbour."
    )


def test_scores_against_labels():
    found = record({"loss": 0.1, "agreement": 0.95, "kl_nats": 0.1})
    found.reference.scores.update(accuracy=0.9, f1=0.88)
    found.candidate.scores.update(accuracy=0.85, f1=0.8)
    table = text_of(render_evaluation(found))
    assert "-5.0 points" in table
    assert "90.0%" in table
    assert describe_evaluation(found).startswith("The pruned model predicts the same in 95.0%")


@pytest.mark.parametrize(
    ("measures", "said"),
    [
        ({"exact_match": 0.5, "overlap_f1": 0.6, "kl_nats": 1.0}, "the same answer in 50.0%"),
        ({"mean_squared_error": 0.25}, "mean squared difference is 0.25"),
    ],
)
def test_other_tasks(measures, said):
    assert said in describe_evaluation(record({"loss": 0.1, **measures}))


def test_warnings():
    found = replace(record({"loss": 0.0, "cosine_mean": 1.0}), truncated=3)
    found = replace(found, candidate=replace(found.candidate, seeded=True))
    said = describe_evaluation(found)
    assert "3 texts were cut to 64 tokens." in said
    assert "The weights of pruned are made up" in said


def layer(name, saved=None):
    return LayerAnalysis(
        weight=f"{name}/kernel",
        shape=(4, 4),
        num_params=16,
        flops=32,
        size_bytes=64,
        element_sparsity=0.0,
        block_sparsities={},
        eligible=True,
        action="dense",
        reason="",
        latency_ms=None if saved is None else 1.0,
        predicted_sparse_ms=None if saved is None else 1.0 - saved,
    )


def analysis(*layers):
    return Analysis(MODEL, WEIGHTS, {}, "model m", (4, 1), layers)


def test_layers_are_ordered_by_loss_for_time():
    timed = analysis(layer("a", 0.1), layer("b", 0.5), layer("c", -0.1))
    table = text_of(render_sensitivity(timed, example_sensitivity()))
    # 1 per ms, 0.4 per ms, and one that saves nothing
    assert [line.split()[0] for line in table.splitlines() if "0." in line] == ["b", "a", "c"]
    assert "ms saved" in table
    assert describe_sensitivity(timed, example_sensitivity()) == (
        "pruning costs least per millisecond saved in b and most in c"
    )


def test_without_times_the_flops_decide():
    untimed = analysis(layer("a"), layer("b"), layer("c"))
    table = text_of(render_sensitivity(untimed, example_sensitivity()))
    assert "ms saved" not in table
    assert (
        describe_sensitivity(untimed, example_sensitivity())
        == "pruning costs least per FLOP in b and most in a"
    )
