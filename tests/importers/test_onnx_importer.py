"""Models from ONNX files: what the compiled module gives is what ONNX Runtime gives."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from onnx_graphs import GraphMaker, bert_graph, needs_onnx
from open_builds import assert_right_at_every_shape
from tiny_bert import CONFIG, bert_tensors, write_checkpoint

from tvm_sparse.bench.peers.engine import ENGINES
from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.compiler.reference_check import check_against_reference, first_differing_layer
from tvm_sparse.config.bench import BenchSpec
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError, FrontendError, UnsupportedOpError
from tvm_sparse.importers.contract import verify
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.onnx.importer import import_model
from tvm_sparse.importers.registry import choose_importer
from tvm_sparse.importers.tensorflow import importer as tensorflow
from tvm_sparse.ir.dense_layers import dense_layers
from tvm_sparse.ir.expressions import op_name
from tvm_sparse.ir.functions import bindings
from tvm_sparse.model.model import Reference
from tvm_sparse.progress import silent
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.e2e, needs_onnx]

HEAVY = ("matmul", "nn.attention", "nn.attention_bias", "nn.gelu", "nn.layer_norm", "take")
SPEC = CompileSpec(threads=1)


def load(path: Path, batch: int = 2, seq_len: int = 16, **spec) -> Imported:
    model = ModelSpec(str(path), batch=batch, seq_len=seq_len, **spec)
    imported = import_model(model, resolve_source(model), silent)
    verify(imported, "onnx")
    return imported


def reference_of(imported: Imported) -> Reference:
    return Reference(
        imported.params, imported.input_values, imported.output_values, imported.layer_outputs
    )


def operators(imported: Imported) -> Counter[str]:
    names = (op_name(b.value).removeprefix("relax.") for b in bindings(imported.mod["main"]))
    return Counter(name for name in names if name in HEAVY)


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the weights of a checkpoint, beside its config and tokenizer."""
    directory = tmp_path_factory.mktemp("bert") / "bert"
    write_checkpoint(directory, bert_tensors(CONFIG), CONFIG)
    return bert_graph(bert_tensors(CONFIG), heads=2).save(directory / "model.onnx")


@pytest.fixture(scope="module")
def imported(bert: Path) -> Imported:
    return load(bert)


def test_a_build_gives_what_onnx_runtime_gives(imported):
    build = compile_model(imported.mod, imported.params, SPEC)
    gaps = check_against_reference(build, reference_of(imported), 1, 1e-5, 1e-5)
    assert set(gaps) == {"last_hidden_state", "pooler_output"}


def test_it_is_the_model_that_tensorflow_imports(imported, bert):
    spec = ModelSpec(str(bert.parent), batch=2, seq_len=16)
    other = tensorflow.import_model(spec, resolve_source(spec), silent)
    assert operators(imported) == operators(other)
    for name, value in other.input_values.items():
        np.testing.assert_array_equal(imported.input_values[name], value)
    for name, value in other.output_values.items():
        np.testing.assert_allclose(imported.output_values[name], value, rtol=1e-5, atol=1e-5)


def test_nameless_matrices_have_the_names_of_their_layers(imported):
    layers = {
        layer.torch_name: (layer.role, layer.block, layer.shape)
        for layer in dense_layers(imported.mod, imported.params.keys())
    }
    assert layers["encoder.layer.1.attention.self.key.weight"] == ("key", 1, (32, 32))
    assert layers["encoder.layer.0.intermediate.dense.weight"] == ("intermediate", 0, (64, 32))
    assert layers["pooler.dense.weight"] == ("pooler", None, (32, 32))
    assert len(layers) == 13


def test_the_first_layer_that_differs_is_named(imported):
    name = "bert/encoder/layer_._0/output/dense/weight"
    params = {**imported.params, name: imported.params[name] * 1.5}
    reference = reference_of(imported)
    wrong = Reference(params, reference.inputs, reference.outputs, reference.layer_outputs)
    found = first_differing_layer(imported.mod, wrong, SPEC, 1e-4, 1e-4)
    assert found == "bert/encoder/layer_._0/output/LayerNorm"


def test_weights_may_lie_in_another_file(bert, imported, tmp_path):
    maker = bert_graph(bert_tensors(CONFIG), heads=2)
    path = maker.save(tmp_path / "model.onnx", external=True)
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    other = load(path)
    for name, value in imported.output_values.items():
        np.testing.assert_array_equal(other.output_values[name], value)
    source = resolve_source(ModelSpec(str(path), seq_len=16))
    (tmp_path / "weights.bin").write_bytes((tmp_path / "weights.bin").read_bytes()[::-1])
    changed = resolve_source(ModelSpec(str(path), seq_len=16))
    assert source.fingerprint != changed.fingerprint


def test_a_batch_may_be_split(bert):
    parts = load(bert, batch=4, micro_batch=2)
    assert parts.micro_batch == 2
    assert int(parts.mod["main"].attrs["micro_batches"]) == 2
    assert parts.output_values["last_hidden_state"].shape == (4, 16, 32)


def test_a_file_without_a_config_is_imported_too(tmp_path):
    path = bert_graph(bert_tensors(CONFIG), heads=2).save(tmp_path / "model.onnx")
    found = load(path)
    assert found.inputs[0].below == 32
    source = resolve_source(ModelSpec(str(path), seq_len=16))
    assert (source.architecture, source.task) == ("Model", "encoder")
    assert choose_importer("auto", source).name == "onnx"


def test_unknown_operators_are_named_all_at_once(tmp_path):
    maker = GraphMaker()
    x = maker.input("x", "float32", (2, 8))
    maker.output("y", maker.add("Det", maker.add("Unsqueeze", x, maker.constant([0]))))
    maker.output("z", maker.add("Mine", x, domain="my.domain"))
    with pytest.raises(UnsupportedOpError) as caught:
        load(maker.save(tmp_path / "model.onnx"))
    assert caught.value.unsupported == [("Det", "/Det_1"), ("my.domain:Mine", "/Mine_3")]
    assert "docs/supported-onnx-ops.md" in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"seq_len": 8}, "give --batch 2 --seq-len 16"),
        ({"batch": 1}, "give --batch 2 --seq-len 16"),
        ({"is_open": True}, "fixes the shape of input_ids, 2x16, ranges for"),
    ],
)
def test_another_shape_than_the_file_has_is_refused(tmp_path, spec, message):
    maker = bert_graph(bert_tensors(CONFIG), heads=2, length=16, batch=2)
    with pytest.raises(FrontendError, match=message):
        load(maker.save(tmp_path / "model.onnx"), **{"batch": 2, "seq_len": 16, **spec})


@pytest.mark.parametrize("inputs", ["full", "single"])
def test_any_shape(bert, inputs):
    """Of a file that leaves both axes open; what stands for masks is as long as the ids."""
    imported = load(bert, batch=4, seq_len=20, is_open=True, inputs=inputs)
    assert len(imported.inputs) == {"full": 3, "single": 1}[inputs]
    assert_right_at_every_shape(imported)


def test_a_value_that_is_no_sum_of_extents_is_named(tmp_path):
    maker = GraphMaker()
    x = maker.input("x_ids", "int64", ("batch", "sequence"))
    shape = maker.add("Shape", x)
    square = maker.add("Mul", shape, shape)
    maker.output("y", maker.add("Add", x, maker.add("ReduceProd", square, keepdims=0)))
    with pytest.raises(FrontendError, match=r"/ReduceProd_.* follows from the batch"):
        load(maker.save(tmp_path / "model.onnx"), is_open=True)


def test_a_branch_that_some_lengths_take_is_named(tmp_path):
    """One that all take stands for both."""
    from onnx import TensorProto, helper

    def graph(most: int) -> Path:
        maker = GraphMaker()
        x = maker.input("x_ids", "int64", ("batch", "sequence"))
        branches = {
            name: helper.make_graph(
                [helper.make_node(op, [x], [f"{name}_out"], name=f"/{name}/{op}")],
                name,
                [],
                [helper.make_tensor_value_info(f"{name}_out", TensorProto.INT64, None)],
            )
            for name, op in (("then_branch", "Neg"), ("else_branch", "Identity"))
        }
        length = maker.add("Gather", maker.add("Shape", x), maker.constant(1))
        is_short = maker.add("Less", length, maker.constant(most))
        maker.output("y", maker.add("If", is_short, **branches))
        return maker.save(tmp_path / f"{most}.onnx")

    imported = load(graph(99), is_open=True)
    np.testing.assert_array_equal(imported.output_values["y"], -imported.input_values["x_ids"])
    with pytest.raises(FrontendError, match=r"which branch /If_\d takes depends on the batch or"):
        load(graph(16), is_open=True)


def test_an_opset_that_is_too_new_is_refused(tmp_path):
    maker = GraphMaker()
    maker.output("y", maker.add("Relu", maker.input("x", "float32", (2, 8))))
    with pytest.raises(FrontendError, match=r"has opset 99, and onnx .* knows up to"):
        load(maker.save(tmp_path / "model.onnx", opset=99))


def test_what_is_no_onnx_file_is_for_another_importer(bert, tmp_path):
    for importer in ("tensorflow", "torch"):
        spec = ModelSpec(str(bert), seq_len=16, importer=importer)
        with pytest.raises(FrontendError, match="use --importer onnx"):
            choose_importer(importer, resolve_source(spec)).check(resolve_source(spec))
    spec = ModelSpec(str(bert.parent), seq_len=16)
    with pytest.raises(FrontendError, match="is no ONNX file"):
        choose_importer("onnx", resolve_source(spec)).check(resolve_source(spec))
    with pytest.raises(ConfigError, match="imported as it is"):
        resolve_source(ModelSpec(str(bert), seq_len=16, num_layers=1))


def test_a_pruned_model_is_written_for_other_engines(bert, tmp_path):
    from tvm_sparse import load_model, prune

    out = tmp_path / "pruned.onnx"
    model = load_model(str(bert), batch=2, seq_len=16, cache_dir=tmp_path / "cache")
    pruned = prune(model, method="magnitude", sparsity=0.5, block_shape=(4, 1))
    with pytest.raises(ConfigError, match="that is the model to be pruned"):
        pruned.save_onnx(bert)
    with pytest.raises(ConfigError, match="no directory of transformers"):
        pruned.save(tmp_path / "directory")
    pruned.save_onnx(out, threads=1)
    assert [path.name for path in tmp_path.iterdir() if path.suffix] == ["pruned.onnx"]
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    again = load(out)
    for layer in pruned.layers:
        weight = pruned.model.params[layer.name]
        assert (weight == 0).mean() >= 0.5
        np.testing.assert_array_equal(again.params[layer.name], weight)
    source = {name: value for name, value in again.params.items() if name.endswith("bias")}
    for name, value in source.items():
        np.testing.assert_array_equal(value, model.params[name])


def test_a_build_is_measured_beside_engines_that_open_its_graph(bert, tmp_path):
    from tvm_sparse import compare, compile, export, load_model, sparsify

    model = load_model(str(bert), batch=2, seq_len=16, cache_dir=tmp_path / "cache")
    pruned = sparsify(model, sparsity=0.5, block_shape=(4, 1), sparsity_threshold=0.4)
    builds = compile(pruned, threads=1)
    build = export(builds, tmp_path / "build", "sparse")
    quick = {"threads": 1, "bench": BenchSpec(iterations=1, warmup_s=0)}
    record = compare(build, ("onnxruntime", "torch"), cache_dir=tmp_path / "cache", **quick)
    states = [result.status for result in record.results]
    # Which engines are installed is the environment's business; of a graph PyTorch has no class.
    assert states[:2] == ["measured"] * 2
    for engine, state, present in zip(
        ("onnxruntime", "torch"), states[2:], ("measured", "failed"), strict=True
    ):
        assert state == ("not installed" if ENGINES[engine].missing() else present)


def test_only_an_onnx_file_is_written_as_one(bert, tmp_path):
    from tvm_sparse.pruning.write_onnx import check_onnx_output

    with pytest.raises(ConfigError, match="only what came from an ONNX file"):
        check_onnx_output(str(bert.parent), tmp_path / "out.onnx")
    with pytest.raises(ConfigError, match=r"ends in \.onnx"):
        check_onnx_output(str(bert), tmp_path / "out.bin")


def test_ids_alone_are_taken_if_asked_for(bert, imported):
    alone = load(bert, inputs="single")
    assert [i.name for i in alone.inputs] == ["input_ids"]
    build = compile_model(alone.mod, alone.params, SPEC)
    check_against_reference(build, reference_of(alone), 1, 1e-5, 1e-5)
    other, own = (i.output_values["last_hidden_state"] for i in (imported, alone))
    assert np.abs(other - own).max() > 0.1
