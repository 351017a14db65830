"""Compare builds of any batch and length with their framework at many shapes, for the checks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import click
import numpy as np

#: Compared beside those that every open import has: long texts, and many.
SHAPES = ((5, 128), (2, 512))
#: The largest batch and length.
MOST = (5, 512)
#: Of sequences that share a run.
_LENGTHS = (5, 130, 1, 64)
_TOLERANCE = 1e-4


def told_at_every_shape(
    label: str, imported: Any, at: Callable[[int, int], Any], start: float
) -> bool:
    """Print how far an open build is from its framework at each shape; return if it is right.

    Parameters
    ----------
    label : str
        What the line begins with.
    imported : Imported
        Of any batch and length up to `MOST`.
    at : callable
        Imports the same model at a batch and a length: its reference is what PyTorch gives there.
    start : float
        When it was begun, as `time.monotonic` says it.
    """
    from tvm_sparse.compiler.compile import compile_model
    from tvm_sparse.config.compile import CompileSpec

    build = compile_model(imported.mod, imported.params, CompileSpec())
    run = _runner(build)
    runs = [(imported.input_values, imported.output_values), *imported.other_runs]
    runs += [(one.input_values, one.output_values) for one in (at(*shape) for shape in SHAPES)]
    gaps = {}
    for inputs, outputs in runs:
        found = run(inputs)
        shape = "x".join(map(str, next(iter(inputs.values())).shape))
        gaps[shape] = max(
            float(np.abs(got - wanted).max() / np.abs(wanted).max())
            for got, wanted in zip(found, outputs.values(), strict=True)
        )
    mixing = build.lowered.mixes_tokens
    apart = None if mixing else _apart(imported, run)
    ragged = f"refuses ragged batches: {mixing}" if mixing else f"ragged {apart:.0e}"
    told = " ".join(f"{shape} {gap:.0e}" for shape, gap in gaps.items())
    click.echo(f"{label:24} {told}  {ragged}  ({time.monotonic() - start:.0f} s)")
    return max(gaps.values()) < _TOLERANCE and not apart


def _runner(build: Any) -> Callable[..., list[np.ndarray]]:
    import tvm
    from tvm import relax

    from tvm_sparse.runtime.tile_map import make_tile_map

    machine = relax.VirtualMachine(build.executable, tvm.cpu())
    weights = [tvm.runtime.tensor(value) for value in build.lowered.params.values()]

    def run(inputs: Mapping[str, np.ndarray], lengths: tuple[int, ...] = ()) -> list[np.ndarray]:
        values = list(inputs.values())
        batch, seq_len = values[0].shape
        tile_map = make_tile_map(lengths or (seq_len,) * batch, build.lowered.token_tile)
        arguments = [tvm.runtime.tensor(value) for value in (*values, tile_map)]
        return [output.numpy() for output in machine["main"](*arguments, *weights)]

    return run


def _apart(imported: Any, run: Callable[..., list[np.ndarray]]) -> float:
    """Return the largest difference of sequences in one run from each of them alone."""
    rng = np.random.default_rng(0)
    # Ids of no padding; of what looks nothing up, a mask, ones.
    bounds = {i.name: ((i.below or 3) // 3, i.below or 2) for i in imported.inputs}
    rows = {name: [rng.integers(*bounds[name], n, np.int32) for n in _LENGTHS] for name in bounds}
    whole = {
        name: np.stack([np.pad(row, (0, max(_LENGTHS) - len(row))) for row in values])
        for name, values in rows.items()
    }
    together = run(whole, _LENGTHS)
    apart = 0.0
    for at, length in enumerate(_LENGTHS):
        alone = run({name: values[at][None] for name, values in rows.items()})
        for one, all_rows in zip(alone, together, strict=True):
            found = all_rows[at, :length] if one.ndim > 2 else all_rows[at]
            apart = max(apart, float(np.abs(found - one[0]).max()))
    return apart
