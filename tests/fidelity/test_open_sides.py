"""Artifacts of any length in a comparison: they run at the shape that is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encoder_builds import OUTPUTS, open_encoder
from relax_modules import random_values

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.fidelity.sides import artifact_shape, open_side
from tvm_sparse.runtime.artifact import load

pytestmark = pytest.mark.ir


def test_an_artifact_of_any_length(open_artifacts: dict[str, Path]) -> None:
    directory, spec = str(open_artifacts["dense"]), CompileSpec(threads=1)
    assert artifact_shape(directory) is None
    side = open_side(directory, spec, batch=2, seq_len=17)
    assert (side.batch, side.seq_len) == (2, 17)
    inputs, _ = random_values(open_encoder()[0], batch=2, seq_len=17)
    outputs = side.forward(inputs)
    for name, wanted in load(directory, threads=1).run(**inputs).items():
        np.testing.assert_array_equal(outputs[name], wanted)
    assert outputs[OUTPUTS[0]].shape == (2, 17, 64)
    with pytest.raises(ConfigError, match=r"^shape 1x128 given: the build is for up to 9x48$"):
        open_side(directory, spec)
