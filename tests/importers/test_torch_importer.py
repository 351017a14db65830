"""Models through PyTorch: what the compiled module gives is what PyTorch gives."""

from __future__ import annotations

import pytest
from pt2_archives import needs_torch

from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.compiler.reference_check import check_against_reference
from tvm_sparse.config import CompileSpec, ModelSpec
from tvm_sparse.importers.contract import verify
from tvm_sparse.importers.torch.importer import import_model
from tvm_sparse.model.model import Reference
from tvm_sparse.progress import silent
from tvm_sparse.sources.source import resolve_source

pytestmark = [pytest.mark.e2e, needs_torch]


def test_a_model_compiles_to_what_pytorch_computes():
    spec = ModelSpec("bert-tiny", weights="random", batch=2, seq_len=16, micro_batch=1)
    imported = import_model(spec, resolve_source(spec), silent)
    verify(imported, "torch")
    assert imported.mod["main"].attrs["micro_batches"] == 2
    assert "bert/encoder/layer_._0/attention/self/query/weight" in imported.params
    build = compile_model(imported.mod, imported.params, CompileSpec())
    reference = Reference(imported.params, imported.input_values, imported.output_values)
    gaps = check_against_reference(build, reference, 2, atol=1e-4, rtol=1e-4)
    assert list(gaps) == ["last_hidden_state", "pooler_output"]
