"""The passes from TIR to what LLVM takes: what is left out of TVM's own changes no output."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import (
    make_encoder,
    make_open_encoder,
    random_values,
    run_executable,
    with_tile_map,
)
from tvm import relax

from tvm_sparse.compiler import tir_pipeline
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.passes.pipeline import LOWER, lower
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.ir


@pytest.mark.parametrize("make", [make_encoder, make_open_encoder])
@pytest.mark.parametrize("sparsity", [None, SparsitySpec(block_shape=(4, 1))])
def test_outputs_are_those_of_all_passes_bit_for_bit(make, sparsity) -> None:
    mod, target = make(num_layers=1), resolve_target()
    inputs, params = random_values(mod, batch=3, seq_len=21)
    lowered = lower(mod, params, target, sparsity)
    inputs = with_tile_map(lowered.mod, inputs)
    outputs, sizes = [], []
    for pipeline in (tir_pipeline.NAME, None):
        built = relax.build(
            lowered.mod, tvm_target(target), relax_pipeline=LOWER, tir_pipeline=pipeline
        )
        outputs.append(run_executable(built, lowered.params, inputs))
        sizes.append(len(built.mod.imports[0].inspect_source("ll")))
    for found, wanted in zip(*outputs, strict=True):
        np.testing.assert_array_equal(found, wanted)
    # Checks of arguments are half of what TVM's own passes leave.
    assert sizes[0] < 0.8 * sizes[1]
