"""Move the encoder onto token tiles, fuse around its products, and pack the weights.

Everything that works on (batch, seq_len, features) token by token is rewritten to the tiled
layout: products with bias, activation and residual in one kernel, attention in one kernel, norms,
rotations, gated units, element-wise operations. Products of the same data are stacked (Q, K and V
become one). Whatever else the graph holds stays row-major, and the pass converts at the border.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.formats.builds import SPARSE, BuildSpec
from tvm_sparse.ir.functions import bindings, main_function, with_main, with_read_params
from tvm_sparse.passes.packed_weights import STACKS
from tvm_sparse.passes.tile_rules.attention import Attention
from tvm_sparse.passes.tile_rules.concat import FeatureConcat
from tvm_sparse.passes.tile_rules.elementwise import Elementwise
from tvm_sparse.passes.tile_rules.embeddings import Embeddings
from tvm_sparse.passes.tile_rules.first_token_attention import FirstTokenAttention
from tvm_sparse.passes.tile_rules.first_tokens import FirstToken
from tvm_sparse.passes.tile_rules.gated_units import Gated
from tvm_sparse.passes.tile_rules.layer_norm import AddBeforeNorm, LayerNorm
from tvm_sparse.passes.tile_rules.products import RowProduct, TiledProduct
from tvm_sparse.passes.tile_rules.reshape import Reshape
from tvm_sparse.passes.tile_rules.rms_norm import RmsNorm
from tvm_sparse.passes.tile_rules.rotations import Rotate
from tvm_sparse.passes.tile_rules.rule import Refusal, Rule, Walk
from tvm_sparse.passes.tile_rules.slices import FeatureSlice
from tvm_sparse.passes.tile_rules.token_windows import SumOfNeighbours
from tvm_sparse.passes.token_mixing import mixing_operator
from tvm_sparse.target import CpuTarget

#: Attributes of an open function: the tokens of a tile, and `token_mixing.mixing_operator`.
TOKEN_TILE, MIXES_TOKENS = "token_tile", "mixes_tokens"
#: Attribute of a function whose build rounds weights: see `Walk.stored`.
STORED = "stored"
#: In the order in which they are tried; what none of them takes stays row-major.
RULES: tuple[type[Rule], ...] = (
    RowProduct,
    TiledProduct,
    Embeddings,
    AddBeforeNorm,
    LayerNorm,
    RmsNorm,
    Rotate,
    Gated,
    FirstTokenAttention,
    Attention,
    SumOfNeighbours,
    FeatureSlice,
    FeatureConcat,
    FirstToken,
    Reshape,
    Elementwise,
)


def convert(
    mod: tvm.IRModule,
    params: Mapping[str, np.ndarray],
    target: CpuTarget,
    block_rows: int = 0,
    build: BuildSpec = SPARSE,
) -> tuple[tvm.IRModule, dict[str, np.ndarray], list[Refusal]]:
    """Rewrite `main` to token tiles, and pack the weights.

    Takes what `bsr_dense` left, and changes neither `mod` nor `params`. `block_rows` is `bs_r` of
    the sparse layers, 0 for a dense build. An open module takes `TiledValues.tile_map` after its
    inputs.

    Returns
    -------
    mod, params
        The module, and the weights as the kernels read them.
    refusals : list of Refusal
        Why rules did not apply where they might have.

    Raises
    ------
    PassError
        If the module has no function `main` or a shape is not static.
    """
    func = main_function(mod)
    walk = Walk.through(func, params, target, build, block_rows)
    refusals: list[Refusal] = []
    values, inner = walk.values, walk.inner()
    attrs = {**dict(func.attrs), "num_input": len(values.inputs)}
    with values.bb.function("main", attrs=attrs):
        with values.bb.dataflow():
            for binding in bindings(func):
                # What is in tiles already came with the first product of its stack.
                if binding.var not in inner and binding.var not in values.tiled:
                    refusals += _visit(walk, binding.var, binding.value)
            result = values.bb.emit_output(values.in_rows(func.body.body))
        values.bb.emit_func_output(result, params=[*values.inputs, *values.weights.vars.values()])
    # A border crossing is emitted where it is first needed; what nobody read after all goes, the
    # transposes in front of packed weights among it.
    tiled = relax.analysis.remove_all_unused(values.bb.get()["main"])
    main = with_read_params(tiled, values.weights.vars)
    values.weights.keep_only({var.name for var in main.params})
    if values.open_layout is not None:
        tile = values.open_layout.token_tile
        main = main.with_attrs({TOKEN_TILE: tile, MIXES_TOKENS: mixing_operator(main)})
    if values.weights.stacks:
        main = main.with_attr(STACKS, values.weights.stacks)
    if any(dtype != "float32" or reason for dtype, reason in walk.stored.values()):
        main = main.with_attr(STORED, {name: list(how) for name, how in walk.stored.items()})
    return with_main(mod, main), values.weights.values, refusals


def _visit(walk: Walk, var: relax.Var, value: relax.Expr) -> list[Refusal]:
    """Let the first rule that applies compute a binding; return why others did not."""
    refusals: list[Refusal] = []
    for kind in RULES:
        rule = kind(walk, var, value)
        if not rule.pattern():
            continue
        reason = rule.check()
        if not reason:
            rule.rewrite()
            return refusals
        refusals.append(Refusal(var.name, kind.__name__, reason))
    for member in walk.members(var):
        rows = walk.values.in_rows(walk.uses.value[member])
        walk.values.rows[member] = walk.values.emit(rows)
    return refusals
