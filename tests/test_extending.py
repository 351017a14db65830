"""docs/extending.md: every example does what the page says of it."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tolerances

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"


@pytest.fixture
def example(request: pytest.FixtureRequest) -> SimpleNamespace:
    """What the example below a heading of the page defines."""
    section = PAGE.read_text(encoding="utf-8").split(f"\n## {request.param}\n")[1]
    code = re.split(r"\n## ", section)[0].split("```python\n")[1].split("```")[0]
    names: dict[str, object] = {}
    exec(compile(code, f"{PAGE.name}, {request.param}", "exec"), names)
    return SimpleNamespace(**names)


def section(title: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [title], indirect=True)


@pytest.mark.unit
def test_no_list_of_files_is_long():
    sections = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]
    assert len(sections) == 8
    for text in sections:
        assert 1 < len(re.findall(r"^\d\. ", text, re.M)) <= 4


@pytest.mark.numeric
@section("An operator")
def test_an_operator(example):
    import tvm
    from tvm import relax

    data = relax.Var("data", relax.TensorType((16,), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [data]):
        with builder.dataflow():
            out = builder.emit_output(builder.emit(example.Scaled(3.0)(data)))
        builder.emit_func_output(out)
    built = relax.build(relax.transform.LegalizeOps()(builder.get()), target="llvm")
    values = np.arange(16, dtype=np.float32)
    result = relax.VirtualMachine(built, tvm.cpu())["main"](tvm.runtime.tensor(values))
    np.testing.assert_array_equal(result.numpy(), 3 * values)


@pytest.mark.unit
@section("A weight format")
def test_a_weight_format(example, monkeypatch):
    from tvm_sparse.formats.registry import FORMATS, weights_of

    monkeypatch.setitem(FORMATS, example.HalfFormat.name, example.HalfFormat)
    weight = np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)
    form = example.HalfFormat(4)
    (packed,) = form.pack([weight], 8)
    assert (packed.dtype, packed.shape) == (np.float16, (2, 8, 4))
    assert packed.nbytes == form.size_bytes(weight.shape) == 2 * form.bytes_per_weight() * 32
    assert weights_of(example.HALF, is_sparse=False) is example.HalfFormat
    assert not example.HALF.is_sparse


@pytest.mark.ir
@section("An importer")
def test_an_importer(example):
    from tvm_sparse.compiler.compile import compile_model
    from tvm_sparse.compiler.reference_check import check_against_reference
    from tvm_sparse.config.compile import CompileSpec
    from tvm_sparse.config.model import ModelSpec
    from tvm_sparse.ir.dense_layers import dense_layers
    from tvm_sparse.model.model import Reference

    imported = example.import_model(ModelSpec("toy"), None, print)
    (layer,) = dense_layers(imported.mod, imported.params)
    assert (layer.role, layer.block, layer.shape) == ("intermediate", 0, (32, 16))
    build = compile_model(imported.mod, imported.params, CompileSpec())
    reference = Reference(imported.params, imported.input_values, imported.output_values)
    assert check_against_reference(build, reference, 2, **tolerances.dot(16)).keys() == {"y"}


@pytest.mark.unit
@section("A kind of layer")
def test_a_kind_of_layer(example):
    assert list(example.refusals.values()) == ["convolution: only dense layers run sparse"]


@pytest.mark.unit
@section("A task")
def test_a_task(example, monkeypatch):
    from tvm_sparse.fidelity.views import compare
    from tvm_sparse.tasks import registry

    task = example.NEXT_SENTENCE
    monkeypatch.setitem(registry.TASKS, task.name, task)
    assert registry.task_of("BertForNextSentencePrediction") is task
    logits = np.array([[2.0, 1.0], [0.0, 1.0]])
    views = [task.on_texts.view({"logits": value}, None) for value in (logits, logits[::-1])]
    assert compare(task.name, *views)["agreement"] == 0.0


@pytest.mark.unit
@section("Another engine to compare with")
def test_an_engine(example, monkeypatch):
    from tvm_sparse.bench.peers import engine

    monkeypatch.setitem(engine.ENGINES, "mean", example.MEAN)
    (found,) = engine.find_engines(["mean"])
    assert found.missing() == []
    model = example.load(Path(), 1, "mean")
    assert model.run(x=np.ones((2, 3)))["x"].tolist() == [1.0, 1.0]
