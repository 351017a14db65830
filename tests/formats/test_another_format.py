"""One entry makes a weight format: dense float16, with an operator and a build of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from encoder_builds import encoder
from made_models import make_model
from relax_modules import evaluate, make_encoder, random_values, run_executable
from tolerances import MODEL
from tvm import relax

from tvm_sparse.api.builds import compile, export
from tvm_sparse.cache.store import Cache
from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.formats.builds import BUILDS, BuildSpec
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.registry import FORMATS, format_of
from tvm_sparse.ir.dense_layers import dense_layers
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.ops.product import ProductOperator
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.tuning.kernel_job import KernelJob

pytestmark = pytest.mark.numeric


@dataclass(frozen=True)
class HalfFormat(DenseFormat):
    """Panels of half precision."""

    name = "dense float16"
    dtype = "float16"
    kernels = ("packed_dense",)

    def pack(self, weight, depth):
        return tuple(panels.astype(np.float16) for panels in super().pack(weight, depth))


@dataclass(frozen=True)
class PackedHalf(ProductOperator, name="packed_half", weights=HalfFormat):
    """Computed by TVM's own operators: what matters here is how it is found."""

    form: HalfFormat

    @classmethod
    def choose(cls, shape, epilogue, form, target):
        return cls(shape, epilogue, form)

    def legalize(self, bb, call):
        op, (data, weight, *rest) = relax.op, call.args
        units, depth = self.shape.units, self.shape.depth
        panels = bb.emit(op.permute_dims(bb.emit(op.astype(weight, "float32")), [0, 2, 1]))
        rows = bb.emit(op.reshape(panels, (-1, depth)))
        matrix = bb.emit(op.strided_slice(rows, [0], [0], [units]))
        out = bb.emit(op.matmul(matrix, data))
        if self.epilogue.bias:
            bias, *rest = rest
            out = bb.emit(op.add(out, bb.emit(op.reshape(bias, (units, 1)))))
        activations = {"gelu": op.nn.gelu, "tanh": op.tanh, "none": lambda value: value}
        out = activations[self.epilogue.activation](out)
        return op.add(bb.emit(out), rest[0]) if rest else out


HALF = BuildSpec("half", HalfFormat.name, tolerances=(5e-3, 5e-3))


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(FORMATS, HalfFormat.name, HalfFormat)
    monkeypatch.setitem(BUILDS, HALF.name, HALF)


def test_it_weighs_half(registered):
    assert format_of("packed_dense", "float16") is HalfFormat
    full, half = (
        KernelJob(KernelFacts("packed_dense", 64, 32, dtype=dtype), 1, 8, num_weights=100)
        for dtype in ("float32", "float16")
    )
    assert half.weight_bytes(1.0) == full.weight_bytes(1.0) / 2
    assert half.working_set_bytes(1.0) == 200
    assert HalfFormat(24).size_bytes((64, 32)) == DenseFormat(24).size_bytes((64, 32)) / 2


def test_it_is_packed_and_multiplied(registered):
    mod = make_encoder(1)
    inputs, params = random_values(mod)
    made = compile_model(mod, params, CompileSpec(), build=HALF)
    packed = {n: v for n, v in made.lowered.params.items() if n.endswith(".packed")}
    assert packed
    assert {value.dtype for value in packed.values()} == {np.dtype(np.float16)}
    results = run_executable(made.executable, made.lowered.params, inputs)
    for found, wanted in zip(results, evaluate(mod, params, inputs), strict=True):
        np.testing.assert_allclose(found, wanted, atol=HALF.tolerances[0], rtol=HALF.tolerances[1])
        assert not np.allclose(found, wanted, **MODEL)


def test_it_is_built_by_its_name_and_compared_with_the_dense_build(registered, tmp_path):
    mod, params, inputs, outputs = encoder(1, 1, 16, 24)
    layers = dense_layers(mod, params)
    model = make_model(params, layers, mod, inputs, outputs, key="half")
    builds = compile(replace(model, cache=Cache(tmp_path)), builds=("dense", "half"), threads=1)
    assert builds.check.keys() == {"dense_against_tensorflow", "half_against_dense"}
    metadata = load_metadata(builds.directories["half"])
    assert metadata.build == "half"
    assert metadata.weights_bytes < load_metadata(builds.directories["dense"]).weights_bytes
    exported = export(builds, tmp_path / "out", "half")
    assert load_metadata(exported).build == "half"
