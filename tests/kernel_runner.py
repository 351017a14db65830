"""Compile single kernels and run them on numpy arrays; layouts and the truth in plain numpy."""

from __future__ import annotations

import functools
import math

import numpy as np
import tvm
from scipy import special
from tolerances import ELEMENTWISE, GELU, dot

from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.host import detect_host
from tvm_sparse.kernel_facts import Epilogue
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.target import CpuTarget, resolve_target

LEVELS = ("x86-64-v2", "x86-64-v3", "x86-64-v4")
#: Every instruction set this machine can run, the widest last.
RUNNABLE = [*LEVELS[: LEVELS.index(detect_host().isa) + 1]] if detect_host().isa in LEVELS else []
RUNNABLE = RUNNABLE or [detect_host().isa]

#: What the tokens past `seq_len` hold in a register with others: nobody may read it into a real
#: token. Registers without any hold what is no number.
GARBAGE = np.float32(1e30)


def widest() -> CpuTarget:
    return resolve_target(RUNNABLE[-1])


@functools.cache
def _compile(func: tvm.tirx.PrimFunc, isa: str):
    module = tvm.IRModule({"main": func.with_attr("global_symbol", "main")})
    return tvm.compile(module, target=tvm_target(resolve_target(isa)))


def run(
    func: tvm.tirx.PrimFunc,
    args: list[np.ndarray | int | None],
    out_shape: tuple[int, ...],
    isa: str,
) -> np.ndarray:
    """Run a kernel; `None` arguments are operands it was made without."""
    given = [arg for arg in args if arg is not None]
    operands = [arg if isinstance(arg, int) else tvm.runtime.tensor(arg) for arg in given]
    # What the kernel leaves out shows as NaN.
    out = tvm.runtime.tensor(np.full(out_shape, np.nan, np.float32))
    _compile(func, isa)["main"](*operands, out)
    return out.numpy()


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape, dtype=np.float32)


def to_tiles(rows: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """(batch, seq_len, F) to (tiles, F, T), with what nobody may read past `seq_len`."""
    batch, _, features = rows.shape
    tiles, tile = layout.tiles_per_sequence, layout.token_tile
    padded = np.full((batch, tiles * tile, features), np.nan, np.float32)
    padded[:, : -(-layout.seq_len // layout.lanes) * layout.lanes] = GARBAGE
    padded[:, : layout.seq_len] = rows
    return np.ascontiguousarray(
        padded.reshape(batch * tiles, tile, features).transpose(0, 2, 1), np.float32
    )


def to_rows(tiles: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """(tiles, F, T) to (batch, seq_len, F)."""
    features = tiles.shape[1]
    rows = tiles.transpose(0, 2, 1).reshape(layout.batch, -1, features)
    return rows[:, : layout.seq_len]


ACTIVATIONS = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * 0.5 * (1 + special.erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "tanh": np.tanh,
    "sigmoid": special.expit,
    "silu": lambda x: x * special.expit(x),
}


def dense_truth(
    data: np.ndarray,
    weight: np.ndarray,
    epilogue: Epilogue,
    bias: np.ndarray | None,
    residual: np.ndarray | None,
) -> np.ndarray:
    """activation(data @ weight.T + bias) + residual, in float64."""
    out = data.astype(np.float64) @ weight.astype(np.float64).T
    if bias is not None:
        out = out + bias
    out = ACTIVATIONS[epilogue.activation](out)
    return out if residual is None else out + residual


def dense_tolerance(depth: int, epilogue: Epilogue) -> dict[str, float]:
    tolerance = dot(depth)
    if epilogue.activation == "none":
        return tolerance
    more = GELU if epilogue.activation == "gelu" else ELEMENTWISE
    return {key: tolerance[key] + more[key] for key in tolerance}
