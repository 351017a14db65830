#!/usr/bin/env python3
"""Measure products of 8-bit integers beside those of float32, in turns in one process.

    python scripts/bench_int8.py --targets x86-64-v3,x86-64-v4-vnni --tokens 128,16

Shapes are N x K of a layer's weight. What a dense product is compared with is the dense one of
float32 for the same target; a block-sparse one with that of float32 in 4x1 blocks at the same
sparsity. Ratios are medians over rounds of the fastest calls of each; quantising the tokens, once
for all that multiply them, is a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
import numpy as np
import tvm

from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.int8_bsr import FastInt8SparseFormat, Int8SparseFormat
from tvm_sparse.formats.int8_panels import (
    FastInt8DenseFormat,
    Int8DenseFormat,
    WideInt8DenseFormat,
)
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.quantized import TOKEN_WORDS, WORD
from tvm_sparse.formats.token_layout import choose_layout
from tvm_sparse.formats.weight_format import ProductShape, WeightFormat
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.quantize_tokens import make_quantize_tokens
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.ops.registry import product_operator
from tvm_sparse.runtime.crew import own_threads
from tvm_sparse.target import CpuTarget, resolve_target

_CALLS = 10


@dataclass(frozen=True)
class Case:
    """A format in blocks (0, 0: none) at a sparsity, and the case it is compared with."""

    label: str
    weights: type[WeightFormat]
    rival: str
    blocks: tuple[int, int] = (0, 0)
    sparsity: float = 0.0


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel with its arguments, and its multiply-adds on what is stored."""

    executable: Any
    arguments: list[Any]
    operations: float

    def seconds(self) -> float:
        """Return the time of the fastest of some calls."""
        timer = self.executable.mod.time_evaluator("main", tvm.cpu(), number=1, repeat=_CALLS)
        return float(np.min(timer(*self.arguments).results[1:]))


def cases(shares: list[float]) -> Iterator[Case]:
    """Yield what is measured, rivals first."""
    yield Case("float32", DenseFormat, "float32")
    yield Case("int8", Int8DenseFormat, "float32")
    yield Case("int8-fast", FastInt8DenseFormat, "float32")
    yield Case("int16", WideInt8DenseFormat, "float32")
    for share in shares:
        rival = f"{share:.0%} 4x1 float32"
        yield Case(rival, SparseFormat, rival, (4, 1), share)
        for blocks in ((4, 4), (1, 4), (4, 1)):
            label = f"{share:.0%} {blocks[0]}x{blocks[1]} int8"
            yield Case(label, Int8SparseFormat, rival, blocks, share)
            yield Case(f"{label}-fast", FastInt8SparseFormat, rival, blocks, share)


def make_product(case: Case, shape: tuple[int, int], tokens: int, target: CpuTarget) -> Kernel:
    """Compile a product with a seeded weight."""
    (units, depth), (bs_r, bs_c) = shape, case.blocks
    layout = choose_layout(1, tokens, target, bs_r)
    product = ProductShape(units, depth, layout, case.blocks, 1 - case.sparsity)
    rng, share = np.random.default_rng(0), 1.0
    weight: list[Any] = [rng.standard_normal(shape, np.float32)]
    if bs_r:
        mask = rng.random((units // bs_r, depth // bs_c)) >= case.sparsity
        indptr = np.concatenate([[0], mask.sum(axis=1).cumsum()]).astype(np.int32)
        blocks = rng.standard_normal((int(indptr[-1]), bs_r, bs_c), np.float32)
        weight, share = [blocks, np.nonzero(mask)[1].astype(np.int32), indptr], float(mask.mean())
    form = case.weights.choose(product, target)
    operator = product_operator(case.weights).choose(product, Epilogue(bias=True), form, target)
    data = rng.standard_normal(layout.shape(depth), np.float32)
    if operator.takes_words:
        data = rng.integers(0, 1 << 31, layout.shape(depth // WORD + TOKEN_WORDS), np.int32)
        data[:, -2:] = np.array([[-100], [np.float32(0.02).view(np.int32)]])
    bias, out = np.zeros(units, np.float32), np.zeros(layout.shape(units), np.float32)
    arguments = [data, *form.pack(weight, depth), bias, out]
    return _compiled(operator.kernel()[1], arguments, tokens * units * depth * share, target)


def make_quantizer(depth: int, tokens: int, target: CpuTarget) -> Kernel:
    """Compile what makes words of tokens."""
    layout = choose_layout(1, tokens, target)
    data = np.random.default_rng(0).standard_normal(layout.shape(depth), np.float32)
    out = np.zeros(layout.shape(depth // WORD + TOKEN_WORDS), np.int32)
    kernel = make_quantize_tokens(layout, depth, norm_vectors(layout, target))
    return _compiled(kernel, [data, out], 0.0, target)


def _compiled(
    kernel: tvm.tirx.PrimFunc, arguments: list[Any], operations: float, target: CpuTarget
) -> Kernel:
    module = tvm.IRModule({"main": kernel.with_attr("global_symbol", "main")})
    executable = tvm.compile(module, target=tvm_target(target))
    return Kernel(executable, [tvm.runtime.tensor(value) for value in arguments], operations)


def measure(
    shape: tuple[int, int], tokens: int, name: str, shares: list[float], rounds: int
) -> None:
    """Measure all cases of one shape for a target and print them."""
    target = resolve_target(name)
    wanted = {case.label: case for case in cases(shares)}
    kernels = {label: make_product(case, shape, tokens, target) for label, case in wanted.items()}
    kernels["quantise tokens"] = make_quantizer(shape[1], tokens, target)
    times: dict[str, list[float]] = {label: [] for label in kernels}
    for _ in range(rounds):
        for label, kernel in kernels.items():
            times[label].append(kernel.seconds())
    click.echo(f"\n{name}: {shape[0]}x{shape[1]}, {tokens} tokens")
    for label, kernel in kernels.items():
        usual = float(np.percentile(times[label], 10))
        line = f"{label:22s} {usual * 1e6:9.1f} us"
        if label in wanted:
            rival = np.array(times[wanted[label].rival])
            ratio = float(np.median(rival / np.array(times[label])))
            line += f" {2 * kernel.operations / usual / 1e9:8.1f} Gop/s {ratio:6.2f}x"
        click.echo(line)


@click.command(help=__doc__)
@click.option("--targets", default="native", show_default=True)
@click.option("--shapes", default="768x768,3072x768,768x3072", show_default=True)
@click.option("--tokens", default="128,16", show_default=True)
@click.option("--sparsity", default=".8,.9,.95", show_default=True)
@click.option("--threads", default=1, show_default=True)
@click.option("--rounds", default=15, show_default=True)
def main(targets: str, shapes: str, tokens: str, sparsity: str, threads: int, rounds: int) -> None:
    """Run the comparison that the options ask for."""
    own_threads(threads)
    shares = [float(text) for text in sparsity.split(",") if text]
    for name in targets.split(","):
        for text in shapes.split(","):
            units, depth = map(int, text.split("x"))
            for count in map(int, tokens.split(",")):
                measure((units, depth), count, name, shares, rounds)


if __name__ == "__main__":
    main()
