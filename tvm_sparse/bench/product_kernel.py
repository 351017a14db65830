"""One dense layer's kernel by itself, as the pipeline makes and packs it for a whole model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import BuildError
from tvm_sparse.formats.registry import format_of
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.passes.layer_plan import LayerPlan
from tvm_sparse.passes.pipeline import lower
from tvm_sparse.sparsity.bsr import block_mask
from tvm_sparse.sparsity.decision import LayerChoice
from tvm_sparse.target import resolve_target
from tvm_sparse.tiles import Tiles

_LAYER = "dense"
# What changes the layout of activations before and after a product that reads token tiles.
_TILE = ("pack_tokens", "unpack_tokens")
# Calls that tell how long one takes, and how many are enough for a median.
_TRIAL_CALLS = 10
_MOST_CALLS = 10_000


@dataclass(frozen=True)
class ProductKernel:
    """A compiled product out = data @ weight.T + 0, with its packed weight in place.

    Attributes
    ----------
    name : str
        The kernel's name.
    tokens, units, depth : int
        M, N and K.
    nonzeros : int
        Elements of the weight that the kernel multiplies: those of its non-zero blocks.
    executable : tvm.runtime.Executable
        Has `product`, and `pack_tokens` and `unpack_tokens` unless activations are row-major.
    operands : tuple of tvm.runtime.Tensor
        What the product takes besides data and out.
    shapes : (tuple of int, tuple of int)
        Of data and out in the layout that the product reads and writes.
    row_major : bool
        Whether this layout is (M, K) and (M, N).
    """

    name: str
    tokens: int
    units: int
    depth: int
    nonzeros: int
    executable: Any
    operands: tuple[Any, ...]
    shapes: tuple[tuple[int, ...], tuple[int, ...]]
    row_major: bool

    @property
    def flops(self) -> int:
        """Floating-point operations of one call, on the non-zeros."""
        return 2 * self.tokens * self.nonzeros

    def bind(self, data: NDArray[Any]) -> tuple[Callable[[], Any], Callable[[], NDArray[Any]]]:
        """Lay the data out and return a call of the product alone, and one that reads its result.

        Parameters
        ----------
        data : numpy.ndarray
            (M, K) float32.
        """
        arguments = self._arguments(data)
        product = self.executable["product"]

        def read() -> NDArray[Any]:
            out = arguments[-1]
            if not self.row_major:
                rows = tvm.runtime.tensor(np.zeros((1, self.tokens, self.units), np.float32))
                self.executable["unpack_tokens"](out, rows)
                out = rows
            return np.array(out.numpy().reshape(self.tokens, self.units))

        return lambda: product(*arguments), read

    def measure_ms(self, data: NDArray[Any], seconds: float) -> float:
        """Return the median time of a call in milliseconds, timed inside TVM.

        Calls are timed one by one: the median then passes over those that were interrupted.

        Parameters
        ----------
        data : numpy.ndarray
            (M, K) float32.
        seconds : float
            How long to measure, about.
        """
        arguments = self._arguments(data)

        def times(repeat: int) -> NDArray[Any]:
            timer = self.executable.mod.time_evaluator(
                "product", tvm.cpu(), number=1, repeat=repeat
            )
            return np.asarray(timer(*arguments).results)

        calls = int(np.clip(seconds / np.median(times(_TRIAL_CALLS)), _TRIAL_CALLS, _MOST_CALLS))
        return float(np.median(times(calls))) * 1e3

    def _arguments(self, data: NDArray[Any]) -> list[Any]:
        rows = np.ascontiguousarray(data, np.float32)
        given, out = (tvm.runtime.tensor(np.zeros(shape, np.float32)) for shape in self.shapes)
        if self.row_major:
            given.copyfrom(rows.reshape(given.shape))
        else:
            self.executable["pack_tokens"](tvm.runtime.tensor(rows[None]), given)
        return [given, *self.operands, out]


def build_product(
    weight: NDArray[Any],
    tokens: int,
    block_shape: tuple[int, int] | None = None,
    sparse: bool = True,
    tiles: Tiles | None = None,
) -> ProductKernel:
    """Compile the kernel of one weight for this machine.

    Parameters
    ----------
    weight : numpy.ndarray
        (N, K) float32.
    tokens : int
        M.
    block_shape : (int, int), optional
        (bs_r, bs_c) of the sparse kernel; the dense one without.
    sparse : bool
        Given a block shape: False makes the dense kernel on the token tiles of such a build.
    tiles : Tiles, optional
        What tuning found on this machine.

    Raises
    ------
    BuildError
        If the pipeline made no kernel of ours for it.
    """
    units, depth = weight.shape
    params = {
        f"{_LAYER}/kernel": np.ascontiguousarray(weight.T),
        f"{_LAYER}/bias": np.zeros(units, np.float32),
    }
    target = resolve_target(tiles=tiles)
    sparsity = None
    if block_shape is not None:
        sparsity = SparsitySpec(block_shape=block_shape, include=("*",))
    choices = {f"{_LAYER}/kernel": LayerChoice(sparse, "as asked for")}
    lowered = lower(_layer(tokens, units, depth), params, target, sparsity, plan=LayerPlan(choices))
    module, main = lowered.mod, lowered.mod["main"]
    packed = dict(zip(main.params[1:], lowered.params.values(), strict=True))
    values = [binding.value for binding in main.body.blocks[0].bindings]
    calls = {
        value.args[0].name_hint: value
        for value in values
        if isinstance(value, relax.Call) and isinstance(value.args[0], tvm.ir.GlobalVar)
    }
    name = next((call.kernel for call in lowered.calls if format_of(call.facts.kind)), None)
    if name is None:
        raise BuildError(f"no product kernel for {units}x{depth}: the calls are {list(calls)}")
    call = calls[name]
    data, *operands = call.args[1].fields
    kernels = {"product": name, **{kernel: kernel for kernel in _TILE if kernel in calls}}
    functions = {
        alias: module[kernel].with_attr("global_symbol", alias) for alias, kernel in kernels.items()
    }
    blocks = block_shape if block_shape is not None and sparse else (1, 1)
    mask = np.ones(weight.shape, np.bool_)
    if block_shape is not None and sparse:
        mask = block_mask(weight, block_shape)
    return ProductKernel(
        name,
        tokens,
        units,
        depth,
        int(np.count_nonzero(mask)) * blocks[0] * blocks[1],
        tvm.compile(tvm.IRModule(functions), target=tvm_target(target)),
        tuple(tvm.runtime.tensor(np.ascontiguousarray(packed[var])) for var in operands),
        (_shape(data), _shape(call)),
        not calls.keys() & set(_TILE),
    )


def _layer(tokens: int, units: int, depth: int) -> tvm.IRModule:
    def tensor(*shape: int) -> relax.TensorType:
        return relax.TensorType(shape, "float32")

    data = relax.Var("data", tensor(1, tokens, depth))
    kernel = relax.Var(f"{_LAYER}/kernel", tensor(depth, units))
    bias = relax.Var(f"{_LAYER}/bias", tensor(units))
    builder = relax.BlockBuilder()
    with builder.function("main", [data, kernel, bias], attrs={"num_input": 1}):
        with builder.dataflow():
            product = relax.op.add(relax.op.matmul(data, kernel), bias)
            out = builder.emit_output(product)
        builder.emit_func_output(relax.Tuple([out]))
    return builder.get()


def _shape(expr: Any) -> tuple[int, ...]:
    return tuple(int(dim) for dim in expr.ty.shape.values)
