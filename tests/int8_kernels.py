"""Products of words: made for a CPU, run on integers, and what they are in numpy."""

from __future__ import annotations

import numpy as np
import tvm

from tvm_sparse.formats.quantized import WORD
from tvm_sparse.formats.token_layout import TokenLayout
from tvm_sparse.host import detect_host
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.target import CpuTarget, resolve_target

_TARGETS = ("x86-64-v2", *(f"x86-64-{isa}" for isa in ("v3", "v3-vnni", "v4", "v4-vnni", "v4-amx")))
#: What this machine can run.
INT8_TARGETS = [
    name for name in _TARGETS if detect_host().isa != "aarch64" and resolve_target(name).runs_here
]


def to_words(values: np.ndarray, shifts: np.ndarray, layout: TokenLayout) -> np.ndarray:
    """Tokens (batch, seq_len, K) of u8 with zero points (batch, seq_len), of scale 1, in tiles.

    What fills the last tile of a sequence is as large as can be.
    """
    batch, seq_len, depth = values.shape
    tiles, tile = layout.tiles_per_sequence, layout.token_tile
    padded = np.full((batch, tiles * tile, depth), 255, np.uint8)
    padded[:, :seq_len] = values
    words = padded.reshape(batch * tiles, tile, depth // WORD, WORD).view("<i4")[..., 0]
    zero = np.zeros((batch, tiles * tile), np.int32)
    zero[:, :seq_len] = -shifts
    scale = np.ones((batch * tiles, 1, tile), np.float32).view(np.int32)
    zeros = zero.reshape(batch * tiles, 1, tile)
    return np.concatenate([words.transpose(0, 2, 1), zeros, scale], axis=1)


def run_int8(
    func: tvm.tirx.PrimFunc,
    args: list[np.ndarray | None],
    out_shape: tuple[int, ...],
    target: CpuTarget,
    dtype: str = "float32",
) -> np.ndarray:
    """Run a kernel that is compiled for a CPU with its extensions."""
    module = tvm.IRModule({"main": func.with_attr("global_symbol", "main")})
    tensors = [tvm.runtime.tensor(arg) for arg in args if arg is not None]
    fill = np.nan if dtype == "float32" else -1
    out = tvm.runtime.tensor(np.full(out_shape, fill, dtype))
    tvm.compile(module, target=tvm_target(target))["main"](*tensors, out)
    return out.numpy()


def activations(
    rng: np.random.Generator, kind: str, batch: int, seq_len: int, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Values of u8 and zero points: random ones, or those at the ends of what they can be."""
    shape = (batch, seq_len, depth)
    if kind == "random":
        return rng.integers(0, 256, shape, np.uint8), rng.integers(0, 256, shape[:2], np.int32)
    if kind == "extreme":
        values = rng.choice(np.array([0, 255], np.uint8), shape)
        return values, rng.choice(np.array([0, 255], np.int32), shape[:2])
    filled = np.full(shape, {"zeros": 0, "most": 255}[kind], np.uint8)
    return filled, np.full(shape[:2], 255 if kind == "zeros" else 0, np.int32)


def limit_weight(units: int, depth: int) -> np.ndarray:
    """A weight whose rounded rows are at the limit of what a grade allows, in every sum but one.

    The last value keeps rows from being integers times a step, which would not be rounded.
    """
    weight = np.ones((units, depth), np.float32)
    weight[1::4] = -1
    weight[2::4, ::2] = 0
    weight[3::4, 1::2] *= -1
    weight[:, -1] *= np.pi / 4
    return weight


def truth(
    values: np.ndarray, shifts: np.ndarray, weight: np.ndarray, scales: np.ndarray
) -> np.ndarray:
    """Return the product of integers, as float32, times the scales of the rows."""
    centred = values.astype(np.int64) - shifts[..., None]
    total = centred @ weight.astype(np.int64).T
    assert np.abs(total).max() < 2**31
    return total.astype(np.int32).astype(np.float32) * scales
