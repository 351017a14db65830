"""Kernels run on as many threads as were asked for, whatever the environment says."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tvm_sparse.host import available_cores

pytestmark = pytest.mark.e2e

PROGRAM = """
import numpy as np
from tvm_sparse.runtime.tvm_runtime import set_threads
import tvm
from tvm.script.ir_builder import tirx as T
from tvm_sparse.kernels.vector import argument, int64, parallel, prim_func
from tvm_sparse.kernels.tvm_target import tvm_target
from tvm_sparse.target import resolve_target

def body():
    out = argument("out", (8,), "int32")
    with parallel(8, "ids") as index:
        T.buffer_store(out, T.call_extern("int32", "gettid"), [index])

func = prim_func(body).with_attr("global_symbol", "main")
library = tvm.compile(tvm.IRModule({"main": func}), target=tvm_target(resolve_target()))
for threads in (1, 2, 1, 2):
    set_threads(threads)
    out = tvm.runtime.tensor(np.zeros(8, np.int32))
    library["main"](out)
    print(len(set(out.numpy().tolist())))
"""


@pytest.mark.skipif(available_cores() < 2, reason="one core")
def test_without_a_word_in_the_environment():
    hidden = ("TVM_NUM_THREADS", "OMP_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if name not in hidden},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["1", "2", "1", "2"]
