"""The form of every importer's module: what breaks it is refused, by what breaks it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tvm
from tvm import relax

from tvm_sparse.errors import PassError
from tvm_sparse.importers.contract import verify
from tvm_sparse.importers.emitter import Emitter
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.ir.functions import with_places
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.model.layer import Place

pytestmark = pytest.mark.ir

op = relax.op


def toy(compute=op.nn.relu, name="layer_._0/dense/weight", dtype="int32") -> Imported:
    """A layer over rows of a table."""
    rng = np.random.default_rng(0)
    params = {
        "words/weight": rng.normal(size=(50, 8)).astype(np.float32),
        name: rng.normal(size=(4, 8)).astype(np.float32),
    }
    ids = relax.Var("input_ids", relax.TensorType((2, 3), dtype))
    table, weight = (
        relax.Var(name, relax.TensorType(value.shape, "float32")) for name, value in params.items()
    )
    emit = Emitter()
    rows = emit(op.take(table, ids, 0, mode="clip"))
    dense = emit(op.matmul(rows, emit(op.permute_dims(weight))))
    result = emit(compute(dense)) if compute is op.nn.relu else compute(emit, dense)
    function = emit.function([ids, table, weight], [result], 1).with_attr("micro_batches", 1)
    places = {name: Place("intermediate", 0) for name in params}
    mod = tvm.IRModule({"main": with_places(function, places)})
    return Imported(
        mod=mod if compute is gelu_written_out else raise_patterns(mod),
        params=params,
        inputs=(TensorSpec("input_ids", (2, 3), dtype, below=50),),
        outputs=(TensorSpec("hidden", (2, 3, 4), "float32"),),
        input_values={"input_ids": np.zeros((2, 3), dtype)},
        output_values={"hidden": np.zeros((2, 3, 4), np.float32)},
        layer_outputs={},
        micro_batch=2,
    )


def with_main(imported: Imported, change) -> Imported:
    return replace(imported, mod=tvm.IRModule({"main": change(imported.mod["main"])}))


def gelu_written_out(emit, x):
    half = emit(op.multiply(x, relax.const(0.5)))
    erf = emit(op.erf(emit(op.multiply(x, relax.const(0.5**0.5)))))
    return emit(op.multiply(half, emit(op.add(erf, relax.const(1.0)))))


def widened(emit, x):
    return emit(op.astype(emit(op.astype(x, "float64")), "float32"))


def test_a_module_of_the_form_passes():
    verify(toy(), "toy")


BROKEN = {
    "one of micro_batches and nominal": lambda: with_main(
        toy(), lambda main: main.without_attr("micro_batches")
    ),
    "weight '/words'": lambda: toy(name="/words"),
    "values that are not finite": lambda: replace(
        toy(), params={**toy().params, "words/weight": np.full((50, 8), np.nan, np.float32)}
    ),
    "no place for weight words/weight": lambda: with_main(
        toy(), lambda main: main.without_attr("places")
    ),
    "input_ids is .*, its signature says": lambda: replace(
        toy(), inputs=(TensorSpec("input_ids", (2, 4), "int32"),)
    ),
    "reference values of other": lambda: replace(
        toy(), output_values={"other": np.zeros((2, 3, 4), np.float32)}
    ),
    "its array": lambda: replace(
        toy(), params={**toy().params, "words/weight": np.zeros((49, 8), np.float32)}
    ),
    "2 weights and 1 arrays": lambda: replace(
        toy(), params={"words/weight": toy().params["words/weight"]}
    ),
    "importers.raising finds more": lambda: toy(gelu_written_out),
    "astype gives .*float64": lambda: toy(widened),
    "input input_ids is of int64": lambda: toy(dtype="int64"),
    "functions main, other": lambda: replace(
        toy(), mod=tvm.IRModule({"main": toy().mod["main"], "other": toy().mod["main"]})
    ),
}


@pytest.mark.parametrize("message", BROKEN)
def test_what_breaks_it_is_told(message):
    with pytest.raises(PassError, match=f"the importer toy breaks the contract.*{message}"):
        verify(BROKEN[message](), "toy")
