"""What is said of a result, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from example_record import example_record

from tvm_sparse.cli.results import describe_pruning, report_records

pytestmark = pytest.mark.unit

SPARSITY = {"block_shape": [16, 1], "sparsity": 0.95, "seed": 0}


def spec(prune: str) -> dict:
    return {"sparsity": {**SPARSITY, "prune": prune}}


def test_zeros_of_the_weights_are_counted_by_element_and_by_block():
    decisions = example_record().decisions
    wide = replace(
        decisions[0], element_sparsity=0.5, block_sparsity=0.25, size_bytes=3 * 768 * 768 * 4
    )
    assert describe_pruning(spec("none"), [*decisions, wide]) == (
        "the zeros the weights came with: 61.2% of the elements and 42.5% of the 16x1 blocks of "
        "the 2 layers that may run sparse"
    )
    assert describe_pruning(spec("none"), []) == "the zeros the weights came with"
    assert describe_pruning({}, decisions) == ""


def test_weights_that_are_not_the_users_own_are_told_in_the_first_line(capsys):
    record = example_record()
    report_records([replace(record, spec={**record.spec, **spec("random")})], False, None)
    first, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("sparsity: 95.0% of all 16x1 blocks are zero, at random (seed 0)")
    assert first.endswith("right for speed, meaningless for accuracy")
