"""Arithmetic, casts, activations, comparisons and selection against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow_graphs import assert_family

from tvm_sparse.importers.tensorflow.converters import activations, comparison, elementwise
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

pytestmark = pytest.mark.unit

ON_ANY = [
    "Abs",
    "Atan",
    "Ceil",
    "Cos",
    "Exp",
    "Expm1",
    "Floor",
    "Neg",
    "Rint",
    "Round",
    "Sign",
    "Sin",
    "Square",
]
ON_POSITIVE = ["Inv", "Log", "Log1p", "Reciprocal", "Rsqrt", "Sqrt"]
BINARY = [
    "Add",
    "AddV2",
    "Atan2",
    "Div",
    "FloorDiv",
    "FloorMod",
    "Maximum",
    "Minimum",
    "Mod",
    "Mul",
    "Pow",
    "RealDiv",
]
ON_INTEGERS = [
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "FloorDiv",
    "FloorMod",
    "TruncateDiv",
    "TruncateMod",
]


@pytest.fixture
def inputs():
    rng = np.random.default_rng(7)
    floats = rng.normal(0, 2, (3, 4)).astype("float32")
    floats[0, :3] = (0.0, 2.5, -1.5)  # ties of rounding and a zero
    return {
        "x": floats,
        "y": (rng.random((1, 4)) + 0.5).astype("float32"),
        "i": rng.integers(-9, 9, (3, 4), dtype="int32"),
        "j": np.asarray([[2, 3, -4, 5]], "int32"),
    }


def test_elementwise_family(inputs):
    raw = import_tensorflow().raw_ops
    cases = {name: (lambda x, y, i, j, n=name: getattr(raw, n)(x=x)) for name in ON_ANY}
    cases |= {name: (lambda x, y, i, j, n=name: getattr(raw, n)(x=y)) for name in ON_POSITIVE}
    cases |= {name: (lambda x, y, i, j, n=name: getattr(raw, n)(x=y, y=y * 3)) for name in BINARY}
    cases |= {
        f"{name} of integers": (lambda x, y, i, j, n=name: getattr(raw, n)(x=i, y=j))
        for name in ON_INTEGERS
    }
    cases |= {
        "AddN": lambda x, y, i, j: raw.AddN(inputs=[x, x, x * 2]),
        "BiasAdd": lambda x, y, i, j: raw.BiasAdd(value=x, bias=raw.Reshape(tensor=y, shape=[4])),
        "BiasAdd channels first": lambda x, y, i, j: raw.BiasAdd(
            value=raw.Reshape(tensor=x, shape=[1, 3, 2, 2]), bias=[1.0, 2, 3], data_format="NCHW"
        ),
        "ClipByValue": lambda x, y, i, j: raw.ClipByValue(
            t=x, clip_value_min=-1.0, clip_value_max=1.5
        ),
        "DivNoNan": lambda x, y, i, j: raw.DivNoNan(x=y, y=raw.Relu(features=x)),
        "SquaredDifference": lambda x, y, i, j: raw.SquaredDifference(x=x, y=y),
        "Sub": lambda x, y, i, j: [raw.Sub(x=x, y=y), raw.Sub(x=i, y=j)],
        "Cast to integers": lambda x, y, i, j: raw.Cast(x=x, DstT="int32"),
        "Cast to floats": lambda x, y, i, j: raw.Cast(x=i, DstT="float32"),
        "Cast to bool": lambda x, y, i, j: raw.Cast(x=i, DstT="bool"),
        "Cast to the same": lambda x, y, i, j: raw.Cast(x=x, DstT="float32"),
        "Cast from bool": lambda x, y, i, j: raw.Cast(x=raw.Less(x=i, y=j), DstT="float32"),
    }
    assert_family(elementwise.CONVERTERS, cases, inputs)


def test_activations_family(inputs):
    raw = import_tensorflow().raw_ops
    features = ["Elu", "Relu", "Relu6", "Selu", "Softplus", "Softsign"]
    functions = ["Erf", "Erfc", "Sigmoid", "Tanh"]
    cases = {n: (lambda x, y, i, j, n=n: getattr(raw, n)(features=x * 20)) for n in features}
    cases |= {n: (lambda x, y, i, j, n=n: getattr(raw, n)(x=x)) for n in functions}
    cases |= {
        "LeakyRelu": lambda x, y, i, j: raw.LeakyRelu(features=x, alpha=0.3),
        "Softmax": lambda x, y, i, j: raw.Softmax(logits=x),
        "LogSoftmax": lambda x, y, i, j: raw.LogSoftmax(logits=x),
    }
    assert_family(activations.CONVERTERS, cases, inputs)


def test_comparison_family(inputs):
    raw = import_tensorflow().raw_ops
    compare = ["Equal", "Greater", "GreaterEqual", "Less", "LessEqual", "NotEqual"]
    cases = {
        n: (lambda x, y, i, j, n=n: [getattr(raw, n)(x=i, y=j), getattr(raw, n)(x=x, y=y)])
        for n in compare
    }
    cases |= {
        n: (lambda x, y, i, j, n=n: getattr(raw, n)(x=raw.Log(x=x)))
        for n in ("IsFinite", "IsInf", "IsNan")
    }
    cases |= {
        "logic": lambda x, y, i, j: [
            raw.LogicalAnd(x=x > 0, y=i > 0),
            raw.LogicalOr(x=x > 0, y=i > 0),
            raw.LogicalNot(x=x > 0),
        ],
        "Select": lambda x, y, i, j: raw.Select(condition=x > 0, x=x, y=-x),
        "Select by row": lambda x, y, i, j: raw.Select(condition=[True, False, True], x=x, y=-x),
        "SelectV2": lambda x, y, i, j: raw.SelectV2(condition=y > 1, t=x, e=0.0),
    }
    assert_family(comparison.CONVERTERS, cases, inputs)
