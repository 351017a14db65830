"""Masks of booleans in PyTorch's attention: a query that sees no key is zero."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pt2_archives import node, write_archive
from tensorflow_graphs import op_counts

from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.compiler.reference_check import check_against_reference
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.importers.contract import verify
from tvm_sparse.importers.torch.importer import import_model
from tvm_sparse.model.model import Reference
from tvm_sparse.progress import silent
from tvm_sparse.sources.source import resolve_source

pytestmark = pytest.mark.ir

BATCH, HEADS, SEQ, DIM = 2, 3, 6, 8
HEADED = ("float32", (BATCH, HEADS, SEQ, DIM))
PER_QUERY = (BATCH, 1, SEQ, SEQ)
WINDOW = np.abs(np.subtract.outer(np.arange(SEQ), np.arange(SEQ))) <= 1
#: The second text ends so early that its last queries see padding alone in a window.
TEXTS = np.arange(SEQ) < np.array([[SEQ], [2]])


def load(path: Path, shape: tuple[int, ...], *widening):
    """Import attention with a mask of a shape, which some nodes make one of `PER_QUERY`."""
    attend = node(
        "scaled_dot_product_attention.default",
        "out",
        query="query",
        key="key",
        value="value",
        attn_mask="wide" if widening else "mask",
    )
    inputs = {**dict.fromkeys(("query", "key", "value"), HEADED), "mask": ("bool", shape)}
    values = {"out": HEADED, "wide": ("bool", PER_QUERY)}
    write_archive(path, [*widening, attend], inputs, values, {}, "out")
    spec = ModelSpec(str(path), batch=BATCH)
    imported = import_model(spec, resolve_source(spec), silent)
    verify(imported, "torch")
    return imported


def check(imported, mask: np.ndarray) -> None:
    """Compare a build with attention written out in float64."""
    rng = np.random.default_rng(0)
    query, key, value = (rng.normal(size=HEADED[1]).astype(np.float32) for _ in range(3))
    weights = np.exp(query.astype(np.float64) @ key.swapaxes(2, 3) / np.sqrt(DIM)) * mask
    weights /= np.maximum(weights.sum(-1, keepdims=True), 1e-30)
    inputs = {"query": query, "key": key, "value": value, "mask": mask}
    outputs = {"output_0": (weights @ value).astype(np.float32)}
    build = compile_model(imported.mod, imported.params, CompileSpec())
    check_against_reference(build, Reference({}, inputs, outputs, {}), 2, atol=1e-5, rtol=1e-5)


def test_queries_that_see_padding_alone_are_zero(tmp_path):
    mask = (WINDOW & TEXTS[:, None, None, :]).reshape(PER_QUERY)
    assert not mask.any(-1).all()
    check(load(tmp_path / "window.pt2", PER_QUERY), mask)


def test_one_mask_for_all_queries_costs_nothing(tmp_path):
    shape = (BATCH, 1, 1, SEQ)
    widening = node("expand.default", "wide", self="mask", size=list(PER_QUERY))
    imported = load(tmp_path / "padding.pt2", shape, widening)
    assert not {"max", "multiply", "broadcast_to"} & set(op_counts(imported.mod))
    check(imported, TEXTS.reshape(shape))
