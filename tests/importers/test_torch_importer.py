"""Models through PyTorch: what the compiled module gives is what PyTorch and TensorFlow give."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pt2_archives import needs_torch, run_with_torch
from small_models import LAYERS, TORCH_CASES, small_config
from tiny_bert import CONFIG, bert_tensors, write_checkpoint

from tvm_sparse.cache.store import Cache
from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.compiler.reference_check import check_against_reference, first_differing_layer
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.importers.contract import verify
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.load_model import load_model
from tvm_sparse.importers.registry import choose_importer
from tvm_sparse.importers.tensorflow import importer as tensorflow
from tvm_sparse.importers.torch.importer import import_model
from tvm_sparse.ir.expressions import op_name
from tvm_sparse.ir.functions import bindings
from tvm_sparse.model.model import Reference
from tvm_sparse.progress import silent
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.e2e, needs_torch]

#: What decides about speed; reshapes and transposes may differ.
HEAVY = ("matmul", "nn.attention", "nn.attention_bias", "nn.gelu", "nn.layer_norm", "take")


def operators(imported: Imported) -> Counter[str]:
    """How often each operator that matters stands in a module."""
    names = (op_name(b.value).removeprefix("relax.") for b in bindings(imported.mod["main"]))
    return Counter(name for name in names if name in HEAVY)


def reference_of(imported: Imported) -> Reference:
    return Reference(
        imported.params, imported.input_values, imported.output_values, imported.layer_outputs
    )


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("bert", {"architectures": ["BertForQuestionAnswering"]}),
        ("albert", {"embedding_size": 16, "hidden_act": "gelu_new"}),
    ],
)
def test_both_frameworks_make_the_same_module(kind, changes, config_dir):
    directory = config_dir(**{"model_type": kind, "architectures": ["AlbertModel"], **changes})
    spec = ModelSpec(str(directory), batch=2, seq_len=16, micro_batch=1)
    source = resolve_source(spec)
    theirs = tensorflow.import_model(spec, source, silent)
    ours = import_model(spec, source, silent)
    verify(ours, "torch")
    verify(theirs, "tensorflow")
    assert operators(ours) == operators(theirs)
    assert ours.mod["main"].attrs["micro_batches"] == 2
    assert [(i.name, i.below) for i in ours.inputs] == [(i.name, i.below) for i in theirs.inputs]
    assert ours.layer_outputs.keys() == theirs.layer_outputs.keys()
    build = compile_model(ours.mod, ours.params, CompileSpec())
    for reference in map(reference_of, (ours, theirs)):
        check_against_reference(build, reference, 2, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("preset", TORCH_CASES)
def test_newer_encoders_stay_in_tiles(preset, tmp_path):
    """Right, attention and products in kernels of ours: distances, windows, heads that share."""
    (tmp_path / "config.json").write_text(json.dumps(small_config(preset)))
    spec = ModelSpec(str(tmp_path), weights="random", batch=2, seq_len=11)
    source = resolve_source(spec)
    assert choose_importer("auto", source).name == "torch"
    imported = import_model(spec, source, silent)
    verify(imported, "torch")
    build = compile_model(imported.mod, imported.params, CompileSpec())
    check_against_reference(build, reference_of(imported), 2, atol=1e-5, rtol=1e-5)
    kernels = [call.kernel for call in build.lowered.calls]
    assert sum(kernel.startswith("attention_") for kernel in kernels) == LAYERS
    assert not [kernel for kernel in kernels if "matmul" in kernel or "softmax" in kernel]


PICKLES = """
import os, sys, torch
from safetensors.torch import load_file
directory = sys.argv[1]
torch.save(load_file(f"{directory}/model.safetensors"), f"{directory}/pytorch_model.bin")
class Evil:
    def __reduce__(self):
        return (os.mkdir, (directory + "/ran",))
torch.save({"a": Evil()}, f"{directory}/evil")
"""


LEAN = """
import runpy, sys
for name in ("tvm", "tvm_ffi", "msgspec", "click", "tensorflow"):
    sys.modules[name] = None
runpy.run_module("tvm_sparse.export_pt2", run_name="__main__", alter_sys=True)
"""


def test_archives_and_pickled_weights_are_read_as_data(tmp_path, cache_dir):
    directory = write_checkpoint(tmp_path / "model", bert_tensors(CONFIG), CONFIG)
    spec = ModelSpec(str(directory), seq_len=8, importer="torch")
    wanted = import_model(spec, resolve_source(spec), silent)
    first = next(iter(wanted.layer_outputs))
    norms = {first: wanted.layer_outputs[first] + 1}
    reference = Reference(wanted.params, wanted.input_values, wanted.output_values, norms)
    found = first_differing_layer(wanted.mod, reference, CompileSpec(), atol=1e-4, rtol=1e-4)
    assert found == first == "bert/embeddings/LayerNorm"
    archive = tmp_path / "model.pt2"
    run_with_torch(LEAN, directory, "-o", archive, "--seq-len", 8)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    read = ModelSpec(str(archive), seq_len=8)
    source = resolve_source(read)
    assert (source.task, source.config["model_type"]) == ("encoder", "bert")
    imported = import_model(read, source, silent)
    verify(imported, "torch")
    assert list(imported.params) == list(wanted.params)
    for name, value in wanted.output_values.items():
        np.testing.assert_allclose(imported.output_values[name], value, atol=1e-6)
    run_with_torch(PICKLES, directory)
    (directory / "model.safetensors").unlink()
    with pytest.raises(FrontendError, match=r"has only pytorch_model\.bin.*--importer torch"):
        load_model(spec.with_(importer="tensorflow"), Cache(cache_dir))
    # `auto` takes PyTorch for it.
    model = load_model(spec.with_(importer="auto"), Cache(cache_dir))
    assert model.spec.importer == "torch"
    assert model.reference.framework == "PyTorch"
    for name, value in wanted.output_values.items():
        np.testing.assert_array_equal(model.reference.outputs[name], value)
    (directory / "evil").replace(directory / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin cannot be read"):
        import_model(spec, resolve_source(spec), silent)
    assert not (directory / "ran").exists()


def test_a_model_that_cannot_be_exported_is_refused_in_one_line(tmp_path: Path):
    command = [sys.executable, "-m", "tvm_sparse.export_pt2", str(tmp_path), "-o"]
    for name, message in (("model.pt2", "cannot be exported"), ("model.zip", "ends in .pt2")):
        done = subprocess.run(
            [*command, str(tmp_path / name)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert message in done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
