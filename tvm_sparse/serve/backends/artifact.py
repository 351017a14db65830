"""Builds of this package, on TVM's runtime library."""

from __future__ import annotations

from tvm_sparse.runtime.artifact import check_packages, load
from tvm_sparse.serve.backends.backend import Backend

ARTIFACT = Backend(check_packages, load)
