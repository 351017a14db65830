"""All linear algebra of numpy and scipy runs on one thread in the block, and only there."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.unit

# In a process of its own: whether scipy is loaded before must not matter.
PROGRAM = """
from tvm_sparse.sparsity.blas import single_threaded_blas
from threadpoolctl import threadpool_info

def threads():
    return [i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"]

with single_threaded_blas():
    from scipy.linalg import cholesky
    inside = threads()
assert inside and set(inside) == {1}, inside
assert set(threads()) == {2}, threads()
"""


def test_one_thread():
    environment = {"OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
