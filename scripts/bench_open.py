#!/usr/bin/env python3
"""Measure the kernels of an open layout beside those made for one shape, layer after layer.

    TVM_NUM_THREADS=1 python scripts/bench_open.py --blocks 0,1,4,16 --shapes 1x7,1x128,8x128

The layers are those of BERT-base with weights of their own, so that these come from where they come
from in a model, compiled as those of models are. Both sides take turns; what is printed are medians
of the ratios open / static, in per cent more or less.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
import numpy as np
import tvm
from scipy import sparse

from tvm_sparse.compiler import tir_pipeline
from tvm_sparse.compiler.compile import OPEN_LEVEL
from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.token_layout import TokenLayout, choose_layout, choose_open_layout
from tvm_sparse.formats.weight_format import ProductShape
from tvm_sparse.kernel_facts import Epilogue, KernelFacts
from tvm_sparse.kernels.attention import make_attention
from tvm_sparse.kernels.attention_shape import AttentionShape
from tvm_sparse.kernels.description import describe
from tvm_sparse.kernels.layer_norm import make_layer_norm
from tvm_sparse.kernels.tiling import attention_tile, norm_vectors
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.ops.packed_dense import PackedDense
from tvm_sparse.ops.tiled_sparse_dense import TiledSparseDense
from tvm_sparse.runtime.tile_map import make_tile_map
from tvm_sparse.target import CpuTarget, resolve_target

_HIDDEN, _HEADS, _DIM = 768, 12, 64
#: Name, N, K and epilogue of a layer's products.
_PRODUCTS = (
    ("qkv", 3 * _HIDDEN, _HIDDEN, Epilogue(bias=True)),
    ("out", _HIDDEN, _HIDDEN, Epilogue(bias=True)),
    ("up", 4 * _HIDDEN, _HIDDEN, Epilogue(bias=True, activation="gelu")),
    ("down", _HIDDEN, 4 * _HIDDEN, Epilogue(bias=True)),
)
#: What the kernel of all of them computes on an open layout.
_SHARED = Epilogue(bias=True, activation="gelu")
_ATTENTION = AttentionShape(
    _HEADS, _DIM, _DIM, (3 * _HIDDEN,) * 3, (0, _HIDDEN, 2 * _HIDDEN), _DIM**-0.5, 1
)


def weights_of(block_rows: int, layers: int, sparsity: float) -> list[dict[str, Any]]:
    """Return the weights of the layers: matrices, or BSR triples."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(layers):
        layer: dict[str, Any] = {}
        for name, units, depth, _epilogue in _PRODUCTS:
            if block_rows == 0:
                layer[name] = [rng.standard_normal((units, depth), np.float32)]
                continue
            mask = sparse.random_array(
                (units // block_rows, depth), density=1 - sparsity, format="csr", rng=rng
            )
            data = rng.standard_normal((mask.nnz, block_rows, 1), np.float32)
            triple = data, mask.indices.astype(np.int32), mask.indptr.astype(np.int32)
            layer[name] = list(triple)
        found.append(layer)
    return found


@dataclass
class Stack:
    """The kernels of some layers on one layout."""

    steps: list[tuple[str, Callable[[], Any]]]
    compile_s: float
    instructions: int
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def run(self) -> None:
        """Call all kernels once and note what each kind took."""
        spent: dict[str, float] = defaultdict(float)
        clock = time.perf_counter
        for name, step in self.steps:
            start = clock()
            step()
            spent[name] += clock() - start
        spent["all"] = sum(spent.values())
        for name, seconds in spent.items():
            self.times[name].append(seconds * 1e3)


class Kernels:
    """The compiled kernels of a layout, and the packed weights."""

    def __init__(
        self, layout: TokenLayout, target: CpuTarget, block_rows: int, sparsity: float
    ) -> None:
        self.layout = layout
        functions, self.forms = {}, {}
        for name, units, depth, epilogue in _PRODUCTS:
            if block_rows:
                shape = ProductShape(units, depth, layout, (block_rows, 1), 1 - sparsity)
                form: Any = SparseFormat.choose(shape, target)
                operator: Any = TiledSparseDense
            else:
                shape = ProductShape(units, depth, layout)
                form, operator = DenseFormat.choose(shape, target), PackedDense
            self.forms[name] = form, depth
            asked = [tvm.tirx.IntImm("int64", flag) for flag in self.activates(name)]
            if asked:
                epilogue = _SHARED
            product = operator.choose(shape, epilogue, form, target)
            functions[name] = product.kernel(*asked)[1]
        vectors = norm_vectors(layout, target)
        functions["norm"] = make_layer_norm(layout, _HIDDEN, 1e-12, vectors, residual=True)
        tile = attention_tile(layout, target)
        functions["attention"] = make_attention(layout, _ATTENTION, *tile)
        module = tvm.IRModule(
            {
                name: describe(func, KernelFacts()).with_attr("global_symbol", name)
                for name, func in functions.items()
            }
        )
        start = time.process_time()
        level = OPEN_LEVEL if layout.is_open else None
        self.executable = tvm.compile(
            module, tvm_target(target, level=level), tir_pipeline=tir_pipeline.NAME
        )
        self.compile_s = time.process_time() - start
        self.instructions = sum(
            len(line) > 0 and line.startswith("\t") and not line.startswith("\t.")
            for line in self.executable.mod.inspect_source("asm").splitlines()
        )
        self.packed: list[dict[str, Any]] = []

    def activates(self, name: str) -> list[int]:
        """Return what products of an open layout are given: whether this one has the activation."""
        return [int(name == "up")] if self.layout.is_open else []

    def pack(self, weights: Sequence[dict[str, Any]]) -> None:
        """Pack the layers' weights."""
        for layer in weights:
            self.packed.append({})
            for name, weight in layer.items():
                form, depth = self.forms[name]
                arrays = form.pack(weight, depth)
                self.packed[-1][name] = [tvm.runtime.tensor(array) for array in arrays]

    def stack(self, batch: int, seq_len: int) -> Stack:
        """Return the layers on one shape."""
        tile = self.layout.token_tile
        count = batch * -(-seq_len // tile)
        tensor = tvm.runtime.tensor
        rng = np.random.default_rng(1)

        def tiled(features: int) -> Any:
            return tensor(rng.standard_normal((count, features, tile), np.float32))

        hidden, other, stacked, wide = (tiled(n * _HIDDEN) for n in (1, 1, 3, 4))
        mask = tensor(np.zeros((1, seq_len), np.float32))
        chart = [tensor(make_tile_map((seq_len,) * batch, tile))] if self.layout.is_open else []
        bias = {name: tensor(np.zeros(units, np.float32)) for name, units, *_ in _PRODUCTS}
        ones = tensor(np.ones(_HIDDEN, np.float32))
        steps: list[tuple[str, Callable[[], Any]]] = []

        def add(name: str, *operands: Any) -> None:
            func = self.executable[name]
            steps.append((name, lambda: func(*operands)))

        def multiply(name: str, data: Any, layer: dict[str, Any], out: Any) -> None:
            add(name, data, *layer[name], bias[name], *self.activates(name), *chart, out)

        for layer in self.packed:
            multiply("qkv", hidden, layer, stacked)
            add("attention", stacked, stacked, stacked, mask, *chart, other)
            multiply("out", other, layer, hidden)
            add("norm", hidden, ones, ones, other, *chart, hidden)
            multiply("up", hidden, layer, wide)
            multiply("down", wide, layer, other)
            add("norm", other, ones, ones, hidden, *chart, hidden)
        return Stack(steps, self.compile_s, self.instructions)


@click.command(help=__doc__)
@click.option("--blocks", default="0,1,4,16", show_default=True, help="bs_r; 0 for dense.")
@click.option("--shapes", default="1x7,1x16,1x61,1x100,1x128,1x300,1x384,8x128", show_default=True)
@click.option("--layers", default=4, show_default=True)
@click.option("--sparsity", default=0.95, show_default=True)
@click.option("--rounds", default=40, show_default=True)
@click.option("--target", "isa", default="native", show_default=True)
def main(blocks: str, shapes: str, layers: int, sparsity: float, rounds: int, isa: str) -> None:
    """Measure and print a line for each shape."""
    target = resolve_target(isa)
    Kernels(choose_layout(1, 1, target), target, 0, sparsity)  # the first one starts LLVM
    for block_rows in (int(text) for text in blocks.split(",")):
        weights = weights_of(block_rows, layers, sparsity)
        unfixed = Kernels(choose_open_layout(target, block_rows), target, block_rows, sparsity)
        unfixed.pack(weights)
        for text in shapes.split(","):
            batch, seq_len = (int(part) for part in text.split("x"))
            layout = choose_layout(batch, seq_len, target, block_rows)
            fixed = Kernels(layout, target, block_rows, sparsity)
            fixed.pack(weights)
            sides = [kernels.stack(batch, seq_len) for kernels in (fixed, unfixed)]
            for turn in range(rounds + 2):
                for side in sides if turn % 2 else reversed(sides):
                    side.run()
            static, free = (
                {name: np.array(values[2:]) for name, values in side.times.items()}
                for side in sides
            )
            more = {
                name: f"{name} {np.median(free[name] / static[name]) * 100 - 100:+.0f}%"
                f" of {np.median(static[name]):.2f}"
                for name in static
            }
            click.echo(
                f"{block_rows}x1 {text} T={layout.token_tile}/{unfixed.layout.token_tile}: "
                f"{', '.join(more.values())} ms; compile {fixed.compile_s:.2f} -> "
                f"{unfixed.compile_s:.2f} s, instructions {fixed.instructions} -> "
                f"{unfixed.instructions}"
            )


if __name__ == "__main__":
    main()
