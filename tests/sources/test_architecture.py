from __future__ import annotations

import pytest

from tvm_sparse.sources.architecture import estimate_weights
from tvm_sparse.sources.presets import load_presets

pytestmark = pytest.mark.unit


def test_weights_are_estimated_from_the_configuration():
    assert estimate_weights(load_presets()["bert-base"].config) == pytest.approx(109e6, rel=0.02)
    distil = {"dim": 768, "hidden_dim": 3072, "n_layers": 6, "vocab_size": 30522}
    assert estimate_weights(distil) == pytest.approx(66e6, rel=0.02)
    assert estimate_weights({}) > 0
