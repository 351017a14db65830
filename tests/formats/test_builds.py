"""Builds by name, and the formats behind them."""

from __future__ import annotations

import pytest

from tvm_sparse.errors import ConfigError
from tvm_sparse.formats.bsr import SparseFormat
from tvm_sparse.formats.builds import BUILDS, DENSE, INT8, SPARSE, build_spec
from tvm_sparse.formats.int8_bsr import Int8SparseFormat
from tvm_sparse.formats.int8_panels import Int8DenseFormat
from tvm_sparse.formats.panels import DenseFormat
from tvm_sparse.formats.registry import FORMATS, format_of, target_of, unrounded, weights_of
from tvm_sparse.target import resolve_target

pytestmark = pytest.mark.unit


def test_builds_go_by_the_names_that_users_type():
    assert list(BUILDS)[:2] == ["dense", "sparse"]
    assert (build_spec("dense"), build_spec("sparse")) == (DENSE, SPARSE)
    with pytest.raises(ConfigError, match=r"'sparce' given \(did you mean sparse\?\): use one of"):
        build_spec("sparce")


def test_every_format_of_a_build_is_known():
    for build in BUILDS.values():
        assert {build.dense, build.sparse} - {None} <= FORMATS.keys()
    assert [weights_of(SPARSE, sparse) for sparse in (False, True)] == [DenseFormat, SparseFormat]
    assert weights_of(DENSE, False) is DenseFormat


def test_only_builds_of_unchanged_weights_are_exact():
    assert DENSE.is_exact
    assert not SPARSE.is_exact


def test_a_kernel_tells_the_format_of_its_weights():
    assert format_of("packed_dense") is format_of("row_dense") is DenseFormat
    assert format_of("sparse_dense") is SparseFormat
    assert format_of("packed_dense", "int8") is Int8DenseFormat
    assert format_of("sparse_dense", "int8") is Int8SparseFormat
    assert format_of("attention") is format_of("row_dense", "int8") is None


def test_layers_that_a_format_refuses_keep_their_weights_as_they_are():
    for name, kind in FORMATS.items():
        assert FORMATS[kind.unrounded or name].dtype == "float32"
    assert unrounded(Int8SparseFormat) is unrounded(SparseFormat) is SparseFormat


def test_only_builds_of_integers_need_products_of_them():
    target = resolve_target("x86-64-v4-vnni")
    assert "avx512_vnni" in target_of(INT8, target).required_features
    assert target_of(SPARSE, target) == resolve_target("x86-64-v4")
