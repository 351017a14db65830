from __future__ import annotations

from typing import get_args

import pytest

from tvm_sparse.config.quantization import QuantizeScheme
from tvm_sparse.formats.builds import BUILDS, DENSE, SPARSE, build_of
from tvm_sparse.formats.registry import weights_of

pytestmark = pytest.mark.unit


def test_a_build_is_a_scheme_and_whether_layers_are_sparse() -> None:
    assert build_of(False) is DENSE
    assert build_of(True) is SPARSE
    kinds = [
        (scheme, is_sparse) for scheme in ("", *get_args(QuantizeScheme)) for is_sparse in (0, 1)
    ]
    found = [build_of(bool(is_sparse), scheme) for scheme, is_sparse in kinds]
    assert found == list(BUILDS.values())
    for build, (scheme, _) in zip(found, kinds, strict=True):
        rounds = weights_of(build, False).dtype.startswith("int8")
        assert rounds == bool(scheme)
        assert build.is_exact == (build is DENSE)
