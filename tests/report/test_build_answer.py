from __future__ import annotations

from dataclasses import replace

import pytest
from example_record import example_record

from tvm_sparse.bench.disturbance import Disturbance
from tvm_sparse.bench.output_error import OutputError
from tvm_sparse.bench.record import BenchRecord, Speedup
from tvm_sparse.report.build_answer import describe_result

pytestmark = pytest.mark.unit


def with_speedup(record: BenchRecord, **changes: float) -> BenchRecord:
    sparse = record.builds["sparse"]
    changed = replace(sparse, speedup=replace(sparse.speedup, **changes))
    return replace(record, builds={**record.builds, "sparse": changed})


def with_builds(**ratios: float) -> BenchRecord:
    """Return a record of builds that are so much faster than the dense one."""
    record = example_record()
    sparse = record.builds["sparse"]
    builds = {"dense": record.builds["dense"]}
    for name, ratio in ratios.items():
        speedup = Speedup(ratio, ratio, 0.99 * ratio, 1.01 * ratio)
        errors = {"last_hidden_state": OutputError(0.042, 0.99912)} if "int8" in name else {}
        builds[name.replace("_", "-")] = replace(sparse, speedup=speedup, errors=errors)
    return replace(record, builds=builds)


@pytest.mark.parametrize(
    ("ratios", "start", "others"),
    [
        (
            {"sparse": 2.1, "int8": 1.9, "int8_sparse": 3.4},
            "INT8 and pruning together make this model 3.40x faster",
            "Of the others, pruning alone 2.10x, INT8 alone 1.90x.",
        ),
        (
            {"sparse": 3.4, "int8": 1.9, "int8_sparse": 3.45},
            "Pruning makes this model 3.40x faster",  # no worse than both, and simpler
            "Of the others, INT8 alone 1.90x, INT8 and pruning together 3.45x.",
        ),
        (
            {"sparse": 0.8, "int8": 1.9, "int8_sparse": 1.5},
            "INT8 makes this model 1.90x faster",
            "Of the others, pruning alone 0.80x, INT8 and pruning together 1.50x.",
        ),
        (
            {"int8_fast": 2.4},
            "INT8-fast makes this model 2.40x faster",
            "",
        ),
    ],
)
def test_the_sentence_says_which_way_is_best(ratios, start, others) -> None:
    sentence = describe_result(with_builds(**ratios))
    assert sentence.startswith(start)
    assert others in sentence
    best = max(ratios, key=ratios.get).replace("_", "-")
    if "INT8" in start:
        assert (
            f"The {best} build's last_hidden_state is off by 4.2% (relative L2), cosine 0.9991."
            in sentence
        )


@pytest.mark.parametrize(
    ("dense_ms", "sparse_ms", "start"),
    [
        (100, 25, "Pruning makes this model 4.0x faster: 100.00 ms dense, 25.00 ms sparse"),
        (100, 99.5, "Pruning buys no speed here: 100.00 ms dense"),
        (50, 100, "Pruning makes this model 2.0x slower: 50.00 ms dense"),
        (0.004, 0.002, "Pruning makes this model 2.0x faster: 0.0040 ms dense, 0.0020 ms sparse"),
    ],
)
def test_the_sentence_says_what_pruning_buys(dense_ms, sparse_ms, start) -> None:
    sentence = describe_result(example_record(dense_ms, sparse_ms))
    assert sentence.startswith(start)
    assert "The weights take 28.0 MB instead of 340.0 MB" in sentence


def test_of_a_busy_machine_both_ratios_are_told() -> None:
    busy = Disturbance(waiting=0.5, slowness=1.0, spread=3.0, skew=2.5)
    record = with_speedup(example_record(disturbance=busy), undisturbed=1.87)
    sentence = describe_result(record)
    assert sentence.startswith(
        "Cannot tell what pruning buys: 1.9x by the tenth percentiles, 4.0x by the medians, 3.6 to "
        "4.4 in 80 % of the paired rounds; 100.00 ms dense, 25.00 ms sparse (medians)."
    )
    alone = replace(record, builds={"dense": record.builds["dense"]})
    assert "takes 92.00 ms by the tenth percentile, 100.00 ms (median)" in describe_result(alone)


def test_medians_that_the_paired_rounds_do_not_bear_out_are_no_verdict() -> None:
    record = with_speedup(example_record(), p10=2.0, p90=3.5, undisturbed=3.4)
    assert describe_result(record).startswith("Cannot tell what pruning buys: 3.4x by the tenth")


def test_the_sentence_of_one_build() -> None:
    record = example_record()
    alone = replace(record, builds={"sparse": record.builds["sparse"]})
    assert describe_result(alone).startswith("The sparse build takes 25.00 ms (median)")
