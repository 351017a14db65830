"""Decide whether to prune a model, and deploy the answer: dense and block-sparse CPU builds.

A Hugging Face transformer goes in; dense and block-sparse CPU builds of it come out, checked
against each other, measured side by side, and exported as a `.so` that runs without Python.

>>> import tvm_sparse
>>> model = tvm_sparse.load_model("bert-mini")
>>> pruned = tvm_sparse.sparsify(model, sparsity=0.95, block_shape=(4, 1))
>>> builds = tvm_sparse.compile(pruned)
>>> record = tvm_sparse.benchmark(builds)
>>> tvm_sparse.export(builds, "bert-mini-sparse")

Every function takes what the one before returned and changes nothing in it.
"""

from __future__ import annotations

from importlib import import_module

from tvm_sparse.torch_free import TvmWithoutTorch

TYPE_CHECKING = False
if TYPE_CHECKING:  # a Ctrl-C while `typing` is imported would be a traceback of the command line's
    from typing import Any

__version__ = "0.1.0"

TvmWithoutTorch.install()

#: Where each public function is: imported when it is first used, since a deployed model must not
#: pull in the compiler.
_HOMES = {
    "analyze": "tvm_sparse.api.analysis",
    "benchmark": "tvm_sparse.api.benchmark",
    "compare": "tvm_sparse.api.comparison",
    "compile": "tvm_sparse.api.builds",
    "diagnose": "tvm_sparse.diagnosis.diagnose",
    "evaluate": "tvm_sparse.api.evaluation",
    "export": "tvm_sparse.api.builds",
    "finetune": "tvm_sparse.api.pruning",
    "load": "tvm_sparse.runtime.artifact",
    "load_model": "tvm_sparse.api.models",
    "pipeline": "tvm_sparse.api.pipelines",
    "prune": "tvm_sparse.api.pruning",
    "quantize": "tvm_sparse.api.quantization",
    "sensitivity": "tvm_sparse.fidelity.model_sensitivity",
    "sparsify": "tvm_sparse.api.models",
    "tune": "tvm_sparse.api.tuning",
    "what_if": "tvm_sparse.api.what_if",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'tvm_sparse' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
