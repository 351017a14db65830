"""RMS norms, rotations and gated units on token tiles against numpy in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from kernel_runner import ACTIVATIONS, RUNNABLE, normal, run, to_rows
from kernel_runner import to_tiles as to_even_tiles
from ragged import tile_map, to_sequences, to_tiles
from tolerances import ELEMENTWISE, GELU

from tvm_sparse.formats.token_layout import choose_layout, choose_open_layout
from tvm_sparse.kernels.gated_unit import make_gated_unit
from tvm_sparse.kernels.rms_norm import make_rms_norm
from tvm_sparse.kernels.rotation import RotationShape, make_rotation
from tvm_sparse.kernels.tiling import norm_vectors
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.numeric

#: Equal lengths, which a fixed layout takes, and any others.
LENGTHS = ((128,), (37, 37, 37), (3,), (5, 70, 1))


class Case:
    """Sequences in tiles of a layout: fixed where they are equally long, else an open one."""

    def __init__(self, lengths, isa):
        self.lengths, self.isa, target = lengths, isa, resolve_target(isa)
        self.is_open = len(set(lengths)) > 1
        self.layout = (
            choose_open_layout(target)
            if self.is_open
            else choose_layout(len(lengths), lengths[0], target)
        )
        self.vectors = norm_vectors(self.layout, target)
        self.map = tile_map(lengths, self.layout) if self.is_open else None

    def sequences(self, features, seed=0):
        rng = np.random.default_rng(seed)
        return [normal(rng, length, features) for length in self.lengths]

    def tiles(self, sequences, layout=None):
        if self.is_open:
            return to_tiles(sequences, self.layout)
        return to_even_tiles(np.stack(sequences), layout or self.layout)

    def check(self, kernel, operands, wanted, tolerance):
        width = wanted[0].shape[1]
        count = len(self.map) if self.is_open else self.layout.num_tiles
        shape = (count, width, self.layout.token_tile)
        out = run(kernel, [*operands, self.map], shape, self.isa)
        if self.is_open:
            found = to_sequences(out, self.lengths, self.layout)
        else:
            found = to_rows(out, self.layout)
        for one, truth in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one, truth, **tolerance)


@pytest.fixture(params=RUNNABLE)
def isa(request):
    return request.param


@pytest.mark.parametrize("lengths", LENGTHS)
def test_rms_norm_of_all_features_and_of_heads(isa, lengths):
    case = Case(lengths, isa)
    for groups, width, before, epsilon in ((1, 37, 0, 1e-6), (3, 8, 5, 0.5)):
        total = before + groups * width + 2
        data, gamma = case.sequences(total), normal(np.random.default_rng(1), width)

        def truth(rows, groups=groups, width=width, before=before, gamma=gamma, epsilon=epsilon):
            heads = rows[:, before : before + groups * width].astype(np.float64)
            heads = heads.reshape(len(rows), groups, width)
            mean = (heads**2).mean(axis=-1, keepdims=True)
            return (heads / np.sqrt(mean + epsilon) * gamma).reshape(len(rows), -1)

        kernel = make_rms_norm(case.layout, width, groups, (before, total), epsilon, case.vectors)
        wanted = [truth(rows) for rows in data]
        case.check(kernel, [case.tiles(data), gamma], wanted, ELEMENTWISE)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("interleaved", [False, True])
def test_rotation(isa, lengths, interleaved):
    case, heads, dim, before = Case(lengths, isa), 3, 8, 4
    total = before + heads * dim
    for shared in (True, False)[case.is_open :]:
        data = case.sequences(total)
        tables = [case.sequences(dim, seed) for seed in (1, 2)]
        if shared:
            tables = [[table[0]] * len(lengths) for table in tables]

        def truth(rows, cos, sin):
            x = rows[:, before:].reshape(len(rows), heads, dim).astype(np.float64)
            turned = np.empty_like(x)
            if interleaved:
                turned[..., ::2], turned[..., 1::2] = -x[..., 1::2], x[..., ::2]
            else:
                turned = np.concatenate([-x[..., dim // 2 :], x[..., : dim // 2]], axis=-1)
            return (x * cos[:, None] + turned * sin[:, None]).reshape(len(rows), -1)

        once = replace(case.layout, batch=1)
        packed = [case.tiles(t[:1], once) if shared else case.tiles(t) for t in tables]
        shape = RotationShape(heads, dim, before, total, interleaved, shared)
        case.check(
            make_rotation(case.layout, shape),
            [case.tiles(data), *packed],
            [truth(*sequence) for sequence in zip(data, *tables, strict=True)],
            ELEMENTWISE,
        )


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("activation", ["gelu", "silu", "relu"])
def test_gated_units_of_one_product_and_of_two(isa, lengths, activation):
    case, units = Case(lengths, isa), 134
    both, other = case.sequences(2 * units + 3), case.sequences(units, seed=1)
    for gate, up, sources in (
        ((units, 2 * units + 3), (0, 2 * units + 3), (both, both)),
        ((2, 2 * units + 3), (0, units), (both, other)),
    ):
        wanted = [
            ACTIVATIONS[activation](rows[:, gate[0] : gate[0] + units].astype(np.float64))
            * factor[:, up[0] : up[0] + units]
            for rows, factor in zip(*sources, strict=True)
        ]
        kernel = make_gated_unit(case.layout, units, activation, gate, up)
        tolerance = {name: 4 * value for name, value in GELU.items()}
        case.check(kernel, [case.tiles(source) for source in sources], wanted, tolerance)
