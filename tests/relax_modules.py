"""Small Relax modules built in a few lines, and what they compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tvm
from placed_layers import imported
from tolerances import MODEL
from tvm import relax

from tvm_sparse.ir.dims import BATCH, SEQ_LEN, Dim
from tvm_sparse.ir.dims import evaluate as extent_at
from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.passes import bsr_dense, first_tokens_only, simplify_fc_transpose, tile_tokens
from tvm_sparse.runtime.tile_map import make_tile_map
from tvm_sparse.target import resolve_target

Arrays = dict[str, np.ndarray]
Emit = Callable[[relax.Expr], relax.Var]
Body = Callable[..., relax.Expr]

#: Of an open encoder.
MOST_TOKENS = 48


def make_module(
    inputs: Mapping[str, tuple[Dim, ...]], weights: Mapping[str, tuple[int, ...]], body: Body
) -> tvm.IRModule:
    """Build `main(inputs..., weights...)`, one dataflow block; `body(emit, *vars)` fills it.

    A name that ends in `ids` is int32, every other float32.
    """
    variables = [
        relax.Var(name, relax.TensorType(shape, "int32" if name.endswith("ids") else "float32"))
        for name, shape in {**inputs, **weights}.items()
    ]
    bb = relax.BlockBuilder()
    with bb.function("main", variables, attrs={"num_input": len(inputs)}):
        with bb.dataflow():
            out = bb.emit_output(body(bb.emit, *variables))
        bb.emit_func_output(out)
    return bb.get()


def make_encoder(
    num_layers: int = 2,
    batch: Dim = 2,
    seq_len: Dim = 5,
    width: int = 24,
    heads: int = 3,
    classifies: bool = False,
) -> tvm.IRModule:
    """Build what the importer makes of a small BERT: ids and mask to hidden states and a pool.

    One that `classifies` returns the pool alone.
    """
    is_open = not isinstance(seq_len, int)
    weights: dict[str, tuple[int, ...]] = {
        "embeddings/w": (2, width),
        "embeddings/position": (MOST_TOKENS if is_open else seq_len, width),
    }

    def norm(name: str) -> None:
        weights.update({f"{name}/gamma": (width,), f"{name}/beta": (width,)})

    def dense(name: str, depth: int, units: int) -> None:
        weights.update({f"{name}/kernel_w": (depth, units), f"{name}/bias": (units,)})

    norm("embeddings/norm")
    for layer in range(num_layers):
        for part in ("query", "key", "value"):
            dense(f"encoder/layer_._{layer}/attention/{part}", width, width)
        dense(f"encoder/layer_._{layer}/attention/output", width, width)
        norm(f"encoder/layer_._{layer}/attention/norm")
        dense(f"encoder/layer_._{layer}/inner", width, 2 * width)
        dense(f"encoder/layer_._{layer}/outer", 2 * width, width)
        norm(f"encoder/layer_._{layer}/norm")
    dense("pooler", width, width)

    def body(emit: Emit, ids: relax.Var, mask: relax.Var, *values: relax.Var) -> relax.Expr:
        op = relax.op
        weight = dict(zip(weights, values, strict=True))

        def apply(name: str, x: relax.Var) -> relax.Var:
            product = emit(op.matmul(x, weight[f"{name}/kernel_w"]))
            return emit(op.add(product, weight[f"{name}/bias"]))

        def normal(name: str, x: relax.Var) -> relax.Var:
            gamma, beta = weight[f"{name}/gamma"], weight[f"{name}/beta"]
            return emit(op.nn.layer_norm(x, gamma, beta, axes=[-1], epsilon=1e-12))

        one, low = relax.const(1.0, "float32"), relax.const(-1e9, "float32")
        kept = emit(op.astype(emit(op.reshape(mask, (batch, 1, 1, seq_len))), "float32"))
        bias = emit(op.multiply(emit(op.subtract(one, kept)), low))
        rows = emit(op.take(weight["embeddings/w"], ids, axis=0, mode="clip"))
        positions = weight["embeddings/position"]
        if is_open:
            place = emit(op.reshape(emit(op.arange(0, seq_len, 1, "int32")), (1, seq_len)))
            positions = emit(op.take(positions, place, axis=0, mode="clip"))
        x = normal("embeddings/norm", emit(op.add(rows, positions)))
        split = (batch, seq_len, heads, width // heads)
        for layer in range(num_layers):
            name = f"encoder/layer_._{layer}"
            q, k, v = (
                emit(op.reshape(apply(f"{name}/attention/{part}", x), split))
                for part in ("query", "key", "value")
            )
            context = emit(op.nn.attention(q, k, v, bias=bias, scale=(width // heads) ** -0.5))
            context = emit(op.reshape(context, (batch, seq_len, width)))
            output = apply(f"{name}/attention/output", context)
            x = normal(f"{name}/attention/norm", emit(op.add(output, x)))
            inner = emit(op.nn.gelu(apply(f"{name}/inner", x)))
            x = normal(f"{name}/norm", emit(op.add(apply(f"{name}/outer", inner), x)))
        first = emit(op.strided_slice(x, axes=[1], begin=[0], end=[1]))
        pooled = emit(op.tanh(apply("pooler", emit(op.reshape(first, (batch, width))))))
        return relax.Tuple([pooled] if classifies else [x, pooled])

    inputs = {"input_ids": (batch, seq_len), "mask_ids": (batch, seq_len)}
    return imported(make_module(inputs, weights, body))


def make_open_encoder(**sizes: int) -> tvm.IRModule:
    """Build an encoder that takes any batch of any length up to `MOST_TOKENS`."""
    return make_encoder(batch=BATCH, seq_len=SEQ_LEN, **sizes)


def random_values(
    mod: tvm.IRModule, seed: int = 0, batch: int = 1, seq_len: int = 1
) -> tuple[Arrays, Arrays]:
    """Random inputs and weights of a module, the weights scaled to keep values near one.

    An open module's inputs are of the batch and length given.
    """
    rng = np.random.default_rng(seed)
    func = mod["main"]
    values = {}
    for var in func.params:
        shape = tuple(extent_at(extent, batch, seq_len) for extent in tensor_shape(var))
        if var.ty.dtype == "int32":
            values[var.name] = rng.integers(0, 2, shape, dtype=np.int32)
        else:
            values[var.name] = rng.standard_normal(shape, dtype=np.float32)
            if len(shape) == 2 and "w" in var.name:
                values[var.name] /= np.float32(min(shape) ** 0.5)
    num_inputs = int(func.attrs["num_input"])
    names = [var.name for var in func.params]
    return (
        {name: values[name] for name in names[:num_inputs]},
        {name: values[name] for name in names[num_inputs:]},
    )


def with_tile_map(mod: tvm.IRModule, inputs: Arrays, lengths: Sequence[int] = ()) -> Arrays:
    """The inputs of a tiled module: an open one takes a map after those it was given.

    Without lengths all sequences are as long as the longest.
    """
    attrs = mod["main"].attrs
    if tile_tokens.TOKEN_TILE not in attrs:
        return inputs
    batch, seq_len = next(iter(inputs.values())).shape[:2]
    tokens = tuple(lengths or [seq_len] * batch)
    return {**inputs, "tile_map": make_tile_map(tokens, int(attrs[tile_tokens.TOKEN_TILE]))}


def evaluate(mod: tvm.IRModule, params: Arrays, inputs: Arrays) -> list[np.ndarray]:
    """Run a module as TVM's own default pipeline compiles it."""
    return default_build(mod)({**inputs, **params})


def default_build(mod: tvm.IRModule) -> Callable[[Arrays], list[np.ndarray]]:
    """Compile a module with TVM's own default pipeline; return what runs it."""
    target = tvm_target(resolve_target())
    executable = relax.build(mod, target=target, relax_pipeline=relax.get_default_pipeline(target))
    machine = relax.VirtualMachine(executable, tvm.cpu())

    def run(values: Arrays) -> list[np.ndarray]:
        tensors = [tvm.runtime.tensor(values[var.name]) for var in mod["main"].params]
        result = machine["main"](*tensors)
        return [value.numpy() for value in ([result] if hasattr(result, "numpy") else result)]

    return run


def run_executable(executable: Any, params: Arrays, inputs: Arrays) -> list[np.ndarray]:
    """Run what the compiler made, weights behind the inputs."""
    machine = relax.VirtualMachine(executable, tvm.cpu())
    arguments = (*inputs.values(), *params.values())
    return [value.numpy() for value in machine["main"](*map(tvm.runtime.tensor, arguments))]


def tile(
    mod: tvm.IRModule,
    params: Arrays,
    block_shape: tuple[int, int] | None = None,
    include: tuple[str, ...] = ("*",),
    exclude: tuple[str, ...] = (),
) -> tuple[tvm.IRModule, Arrays]:
    """Take a module through the passes up to `tile_tokens`; well-formed all the way."""
    mod, params = simplify_fc_transpose.convert(mod, params)
    if block_shape is not None:
        mod, params, _ = bsr_dense.convert(mod, params, block_shape, 0.0, include, exclude)
    mod = first_tokens_only.convert(mod)
    mod, params, _ = tile_tokens.convert(
        mod, params, resolve_target(), block_shape[0] if block_shape else 0
    )
    relax.analysis.well_formed(mod)
    num_inputs = int(mod["main"].attrs["num_input"])
    assert [var.name for var in mod["main"].params][num_inputs:] == list(params)
    return mod, params


def assert_computes_the_same(
    mod: tvm.IRModule,
    block_shape: tuple[int, int] | None = None,
    shapes: Sequence[tuple[int, int]] = ((1, 1),),
    **layers,
) -> tvm.IRModule:
    """Compare a module before and after tiling on random values; return the tiled one.

    An open module is run at each of the shapes (batch, seq_len).
    """
    _, params = random_values(mod)
    tiled, packed = tile(mod, params, block_shape, **layers)
    run_tiled, run = default_build(tiled), default_build(mod)
    for batch, seq_len in shapes:
        inputs, _ = random_values(mod, batch=batch, seq_len=seq_len)
        results = run_tiled({**with_tile_map(tiled, inputs), **packed})
        for found, wanted in zip(results, run({**inputs, **params}), strict=True):
            np.testing.assert_allclose(found, wanted, **MODEL)
    return tiled


def op_names(mod: tvm.IRModule) -> list[str]:
    """The operators of `main` in order, without `relax.` and `tvm_sparse.`."""
    (block,) = mod["main"].body.blocks
    names = (op_name(binding.value) for binding in block.bindings)
    return [name.removeprefix("relax.").removeprefix("tvm_sparse.") for name in names if name]


def calls_of(mod: tvm.IRModule, name: str) -> list[relax.Call]:
    """The calls of an operator in `main`, named as `op_names` does."""
    (block,) = mod["main"].body.blocks
    values = [binding.value for binding in block.bindings]
    full = (f"relax.{name}", f"tvm_sparse.{name}")
    return [value for value in values if op_name(value) in full]


def count_ops(mod: tvm.IRModule, name: str) -> int:
    return op_names(mod).count(name)


def heads_of(
    emit: Emit, x: relax.Var, w: relax.Var, b: relax.Var | None = None, *, heads: int = 3
) -> relax.Var:
    """A projection as attention takes it: (batch, seq_len, heads, dim)."""
    product = emit(relax.op.matmul(x, w))
    if b is not None:
        product = emit(relax.op.add(product, b))
    *lead, features = tensor_shape(product)
    return emit(relax.op.reshape(product, (*lead, heads, features // heads)))
