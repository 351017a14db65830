"""Why tensors of a checkpoint have other shapes than the model."""

from __future__ import annotations

import pytest

from tvm_sparse.importers.shape_faults import ShapeFault, describe_faults

pytestmark = pytest.mark.unit

LAYER = "bert.encoder.layer.0"


def heads(block: int = 0, found: int = 16) -> list[ShapeFault]:
    path = f"bert.encoder.layer.{block}.attention"
    return [
        *(ShapeFault(f"{path}.self.{n}.weight", (found, 32), (32, 32)) for n in ("query", "key")),
        ShapeFault(f"{path}.output.dense.weight", (32, found), (32, 32)),
    ]


def inner(block: int, found: int) -> ShapeFault:
    return ShapeFault(f"bert.encoder.layer.{block}.output.dense.weight", (32, found), (32, 64))


@pytest.mark.parametrize(
    ("faults", "cause"),
    [
        ([ShapeFault("classifier.weight", (3, 32), (2, 32))], "another num_labels"),
        ([ShapeFault("qa_outputs.bias", (3,), (2,))], "another num_labels"),
        (
            [ShapeFault("bert.embeddings.position_embeddings.weight", (64, 32), (32, 32))],
            "another max_position_embeddings",
        ),
        (heads(), r"heads were removed \(pruned_heads\)"),
        ([inner(0, 40), inner(1, 24)], r"different widths.*\(CoFi\)"),
        ([*heads(), inner(0, 40)], r"different widths.*\(CoFi\)"),
        ([inner(0, 40), inner(1, 40)], "another intermediate_size"),
        ([ShapeFault(f"{LAYER}.output.LayerNorm.weight", (8,), (32,))], "another model"),
    ],
)
def test_the_likely_cause_is_named(faults, cause):
    with pytest.raises(AssertionError, match=f"^{faults[0].name.split('.')[0]}.*: .*{cause}"):
        raise AssertionError(describe_faults(faults))


def test_both_shapes_and_the_number_of_tensors():
    assert describe_faults(heads()).startswith(
        f"{LAYER}.attention.self.query.weight is 16x32 in the checkpoint and 32x32 in the model "
        "(and 2 more tensors): "
    )
