"""The ordered list of rewrites that raise an imported module to the ops later passes expect."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.importers.raising.attention import raise_attention
from tvm_sparse.importers.raising.dataflow import Rule, rewrite
from tvm_sparse.importers.raising.dense import raise_dense
from tvm_sparse.importers.raising.gelu import raise_gelu
from tvm_sparse.importers.raising.identities import simplify_identity
from tvm_sparse.importers.raising.layer_norm import raise_layer_norm
from tvm_sparse.importers.raising.masks import drop_zeroing, narrow_masks
from tvm_sparse.importers.raising.rms_norm import raise_rms_norm
from tvm_sparse.importers.raising.shared_heads import raise_shared_heads
from tvm_sparse.importers.raising.slices import slice_features, take_joined_part
from tvm_sparse.importers.raising.transposes import sink_transposes

RULES: tuple[Rule, ...] = (
    take_joined_part,
    simplify_identity,
    raise_gelu,
    raise_layer_norm,
    raise_rms_norm,
    raise_attention,
    narrow_masks,
    drop_zeroing,
    # What attention put in cancels before transposes move.
    simplify_identity,
    raise_shared_heads,
    sink_transposes,
    # Transposes that attention put in meet those of the model and cancel.
    simplify_identity,
    slice_features,
    raise_dense,
    simplify_identity,
)


def raise_patterns(mod: tvm.IRModule) -> tvm.IRModule:
    """Return `mod`, one function of one dataflow block, with known patterns as single ops.

    It has no dead code; `mod` stays as it is.
    """
    mod = _clean(mod)
    for rule in RULES:
        mod = rewrite(mod, rule)
    return _clean(mod)


def _clean(mod: tvm.IRModule) -> tvm.IRModule:
    passes = [
        relax.transform.CanonicalizeBindings(),
        relax.transform.EliminateCommonSubexpr(),
        relax.transform.DeadCodeElimination(),
    ]
    return tvm.transform.Sequential(passes)(mod)
