"""Matrix products and Einsum against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow_graphs import assert_family, graph_of, op_counts

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.tensorflow.converters import matmul
from tvm_sparse.importers.tensorflow.from_graphdef import import_graph
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

pytestmark = pytest.mark.unit

# Equation and the shapes of its operands: dense layers, attention, sums, ellipses, broadcasts.
EINSUMS = {
    "abc,cd->abd": [(2, 3, 4), (4, 5)],
    "abc,cde->abde": [(2, 3, 4), (4, 2, 5)],
    "abcd,cde->abe": [(2, 3, 2, 4), (2, 4, 5)],
    "aecd,abcd->acbe": [(2, 3, 2, 4), (2, 5, 2, 4)],
    "acbe,aecd->abcd": [(2, 2, 3, 5), (2, 5, 2, 4)],
    "...ij,...jk->...ik": [(2, 3, 4), (2, 4, 5)],
    "ij,jk->ki": [(3, 4), (4, 5)],
    "i,i->": [(4,), (4,)],
    "i,j->ij": [(3,), (4,)],
    "ij,ij->ij": [(3, 4), (3, 4)],
    "ijk,k->i": [(2, 3, 4), (4,)],
    "ij->ji": [(3, 4)],
    "ijk->k": [(2, 3, 4)],
}


def _arrays(*shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    return {f"x{i}": rng.normal(size=s).astype("float32") for i, s in enumerate(shapes)}


def test_products_family():
    raw = import_tensorflow().raw_ops
    inputs = _arrays((3, 4), (3, 4), (2, 5, 4), (2, 5, 4), (4, 6))
    cases = {
        "MatMul": lambda a, b, p, q, w: [
            raw.MatMul(a=a, b=w),
            raw.MatMul(a=a, b=b, transpose_b=True),
            raw.MatMul(a=a, b=b, transpose_a=True),
            raw.MatMul(a=w, b=a, transpose_a=True, transpose_b=True),
        ],
        "BatchMatMul": lambda a, b, p, q, w: raw.BatchMatMul(x=p, y=q, adj_y=True),
        "BatchMatMulV2": lambda a, b, p, q, w: [
            raw.BatchMatMulV2(x=p, y=q, adj_x=True),
            raw.BatchMatMulV2(x=p, y=w),
        ],
        "BatchMatMulV3": lambda a, b, p, q, w: raw.BatchMatMulV3(
            x=p, y=q, Tout="float32", adj_y=True
        ),
        "Einsum": lambda a, b, p, q, w: raw.Einsum(inputs=[p, w], equation="abc,cd->abd"),
    }
    assert_family(matmul.CONVERTERS, cases, inputs)


def test_einsum_equations():
    raw = import_tensorflow().raw_ops
    inputs = _arrays(*(shape for operands in EINSUMS.values() for shape in operands))
    cases, taken = {}, 0
    for equation, operands in EINSUMS.items():
        mine = slice(taken, taken := taken + len(operands))
        cases[equation] = lambda *xs, e=equation, m=mine: raw.Einsum(inputs=list(xs[m]), equation=e)
    assert_family({}, cases, inputs)


def test_einsum_of_a_dense_layer_is_one_matmul_without_reshapes():
    raw = import_tensorflow().raw_ops
    inputs = _arrays((2, 3, 4), (4, 5))
    mod, _ = import_graph(
        graph_of(lambda x, w: raw.Einsum(inputs=[x, w], equation="abc,cd->abd"), inputs)
    )
    assert op_counts(mod) == {"matmul": 1}


@pytest.mark.parametrize(
    ("equation", "shapes", "message"),
    [
        ("ii->i", [(3, 3)], "repeats a label"),
        ("...i,...i->...", [(2, 3), (1, 3)], "broadcasts"),
    ],
)
def test_unsupported_einsums_are_refused(equation, shapes, message):
    raw = import_tensorflow().raw_ops
    frozen = graph_of(lambda *xs: raw.Einsum(inputs=list(xs), equation=equation), _arrays(*shapes))
    with pytest.raises(FrontendError, match=message):
        import_graph(frozen)
