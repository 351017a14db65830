"""Builds of any batch and length, run in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tvm
from tolerances import MODEL
from tvm import relax

from tvm_sparse.compiler.compile import Build, compile_model
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.importers.importer import Imported
from tvm_sparse.runtime.tile_map import make_tile_map

Arrays = Mapping[str, np.ndarray]
#: Takes inputs, and the lengths of their rows if they are not all as long.
Run = Callable[..., list[np.ndarray]]


def runner(build: Build) -> Run:
    """Return a function from inputs, and lengths, to outputs."""
    machine = relax.VirtualMachine(build.executable, tvm.cpu())
    weights = [tvm.runtime.tensor(value) for value in build.lowered.params.values()]

    def run(inputs: Arrays, lengths: Sequence[int] = ()) -> list[np.ndarray]:
        values = list(inputs.values())
        batch, seq_len = values[0].shape
        tile_map = make_tile_map(tuple(lengths) or (seq_len,) * batch, build.lowered.token_tile)
        arguments = [tvm.runtime.tensor(value) for value in (*values, tile_map)]
        return [output.numpy() for output in machine["main"](*arguments, *weights)]

    return run


def assert_right_at_every_shape(imported: Imported) -> Build:
    """Compile an open import, and compare it with its framework and rows with each alone."""
    build = compile_model(imported.mod, imported.params, CompileSpec())
    run = runner(build)
    runs = ((imported.input_values, imported.output_values), *imported.other_runs)
    for inputs, outputs in runs:
        for wanted, found in zip(outputs.values(), run(inputs), strict=True):
            np.testing.assert_allclose(found, wanted, **MODEL)
    _assert_ragged(imported, run)
    return build


def _assert_ragged(imported: Imported, run: Run) -> None:
    """Rows of different lengths give, bit for bit, what each gives alone."""
    lengths = (5, 20, 1, 17)
    rng = np.random.default_rng(0)
    # Ids of no padding; of what looks nothing up, a mask, ones.
    bounds = {i.name: ((i.below or 3) // 3, i.below or 2) for i in imported.inputs}
    rows = {name: [rng.integers(*bounds[name], n, np.int32) for n in lengths] for name in bounds}
    longest = max(lengths)
    rectangle = {
        name: np.stack([np.pad(row, (0, longest - len(row))) for row in values])
        for name, values in rows.items()
    }
    together = run(rectangle, lengths)
    for at, length in enumerate(lengths):
        alone = run({name: values[at][None] for name, values in rows.items()})
        for one, all_rows in zip(alone, together, strict=True):
            found = all_rows[at, :length] if one.ndim > 2 else all_rows[at]
            np.testing.assert_array_equal(found, one[0])
