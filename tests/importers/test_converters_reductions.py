"""Reductions, running sums and positions of extremes against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow_graphs import assert_family, graph_of

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.tensorflow.converters import reductions
from tvm_sparse.importers.tensorflow.from_graphdef import import_graph
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

pytestmark = pytest.mark.unit


def test_reductions_family():
    raw = import_tensorflow().raw_ops
    rng = np.random.default_rng(7)
    inputs = {
        "x": rng.normal(0, 1, (2, 3, 5)).astype("float32"),
        "i": rng.permutation(30).reshape(2, 3, 5).astype("int32"),
    }
    cases = {
        name: lambda x, i, n=name: [
            getattr(raw, n)(input=x, axis=[-1], keep_dims=True),
            getattr(raw, n)(input=x, axis=[0, 2], keep_dims=False),
            getattr(raw, n)(input=x, axis=1, keep_dims=False),
            getattr(raw, n)(input=x, axis=np.asarray([], "int32"), keep_dims=False),
        ]
        for name in ("Max", "Mean", "Min", "Prod", "Sum")
    }
    cases |= {
        name: lambda x, i, n=name: getattr(raw, n)(input=x > -0.5, axis=[1])
        for name in ("All", "Any")
    }
    cases |= {
        name: lambda x, i, n=name: [
            getattr(raw, n)(input=i, dimension=-1),
            getattr(raw, n)(input=x, dimension=0, output_type="int32"),
        ]
        for name in ("ArgMax", "ArgMin")
    }
    cases |= {
        f"{name} exclusive={exclusive} reverse={reverse}": (
            lambda x, i, n=name, e=exclusive, r=reverse: [
                getattr(raw, n)(x=x, axis=1, exclusive=e, reverse=r),
                getattr(raw, n)(x=i % 3 + 1, axis=-1, exclusive=e, reverse=r),
            ]
        )
        for name in ("Cumprod", "Cumsum")
        for exclusive in (False, True)
        for reverse in (False, True)
    }
    cases |= {"TopKV2": lambda x, i: raw.TopKV2(input=x, k=2)}
    assert_family(reductions.CONVERTERS, cases, inputs)


def test_axes_computed_from_inputs_are_refused():
    raw = import_tensorflow().raw_ops
    inputs = {"x": np.ones((2, 3), "float32"), "axis": np.asarray([0], "int32")}
    frozen = graph_of(lambda x, axis: raw.Sum(input=x, axis=axis, name="total"), inputs)
    with pytest.raises(FrontendError, match=r"node total \(Sum\).*axes.*must be a constant"):
        import_graph(frozen)
