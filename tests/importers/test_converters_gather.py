"""Gathers and one-hot against TensorFlow."""

from __future__ import annotations

import numpy as np
import pytest
from tensorflow_graphs import assert_family, graph_of, run_module

from tvm_sparse.importers.tensorflow.converters import gather
from tvm_sparse.importers.tensorflow.from_graphdef import import_graph
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

pytestmark = pytest.mark.unit


def test_gather_family():
    raw = import_tensorflow().raw_ops
    rng = np.random.default_rng(7)
    inputs = {
        "table": rng.normal(size=(2, 5, 3)).astype("float32"),
        "ids": rng.integers(0, 2, (2, 4), dtype="int32"),
        "deep": rng.integers(0, 2, (3, 2), dtype="int32"),
    }
    cases = {
        "Gather": lambda t, i, d: raw.Gather(params=t, indices=i),
        "GatherV2": lambda t, i, d: [
            raw.GatherV2(params=t, indices=i, axis=axis) for axis in (0, 1, -1)
        ],
        "GatherV2 in batches": lambda t, i, d: [
            raw.GatherV2(params=t, indices=i, axis=1, batch_dims=1),
            raw.GatherV2(
                params=t[:, :4], indices=raw.Cast(x=i, DstT="int64"), axis=1, batch_dims=-1
            ),
        ],
        "GatherNd": lambda t, i, d: [
            raw.GatherNd(params=t, indices=d),
            raw.GatherNd(params=t, indices=raw.Reshape(tensor=i, shape=[8, 1])),
            raw.GatherNd(params=t[..., 0], indices=raw.Cast(x=d, DstT="int64")),
        ],
        "InvertPermutation": lambda t, i, d: raw.InvertPermutation(x=[2, 0, 1]),
        "OneHot": lambda t, i, d: [
            raw.OneHot(indices=i * 3 - 1, depth=4, on_value=1.0, off_value=0.0, axis=axis)
            for axis in (-1, 0, 1)
        ],
        "Where": lambda t, i, d: raw.Where(condition=[[True, False], [True, True]]),
    }
    assert_family(gather.CONVERTERS, cases, inputs)


def test_an_id_outside_the_table_reads_its_last_row():
    raw = import_tensorflow().raw_ops
    inputs = {
        "table": np.arange(6, dtype="float32").reshape(3, 2),
        "ids": np.asarray([1, 99], "int32"),
    }
    frozen = graph_of(lambda t, i: raw.GatherV2(params=t, indices=i, axis=0), inputs)
    (rows,) = run_module(*import_graph(frozen), inputs)
    np.testing.assert_array_equal(rows, [[2, 3], [4, 5]])
