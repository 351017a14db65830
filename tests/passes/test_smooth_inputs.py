from __future__ import annotations

import numpy as np
import pytest
from encoder_builds import encoder
from relax_modules import evaluate

from tvm_sparse.passes import simplify_fc_transpose, smooth_inputs

pytestmark = pytest.mark.ir


def test_smoothing_changes_no_output() -> None:
    mod, params, inputs, outputs = encoder(1, 2, 5, 48)
    turned, weights = simplify_fc_transpose.convert(mod, params)
    names = [name.removesuffix(".T") for name in weights if name.endswith("kernel_w.T")]
    shared = [name for name in names if "layer_._0" in name and weights[f"{name}.T"].shape[1] == 48]
    factor = np.exp2(np.arange(48) % 5 - 2).astype(np.float32)  # powers of two round nothing
    smooth, new = smooth_inputs.convert(turned, weights, dict.fromkeys(shared, factor))
    added = set(new) - set(weights)
    assert len(added) == 1  # one array, one parameter, whoever reads it
    np.testing.assert_array_equal(new[f"{shared[0]}.T"], weights[f"{shared[0]}.T"] / factor)
    found = evaluate(smooth, new, inputs)
    for value, wanted in zip(found, outputs.values(), strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-5)
    assert mod["main"].params[-1].name in params  # what was given stays as it is


def test_without_factors_nothing_changes() -> None:
    mod, params, *_ = encoder(1, 2, 5, 48)
    same, weights = smooth_inputs.convert(mod, params, {"nothing": np.ones(3, np.float32)})
    assert same is mod
    assert weights == params
