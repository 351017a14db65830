"""Decide whether to prune a model, and deploy the answer: dense and block-sparse CPU builds.

A Hugging Face transformer goes in; dense and block-sparse CPU builds of it come out, checked
against each other, measured side by side, and exported as a `.so` that runs without Python.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = [
    *("benchmark", "compare", "compile", "export", "finetune", "load", "load_model", "prune"),
    *("sparsify", "what_if"),
]

#: Where a name is defined, unless in the API: a deployed model must not pull in the compiler.
_HOMES = {
    "compare": "tvm_sparse.api.comparison",
    "finetune": "tvm_sparse.api.pruning",
    "load": "tvm_sparse.runtime.artifact",
    "prune": "tvm_sparse.api.pruning",
    "what_if": "tvm_sparse.whatif.what_if",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(_HOMES.get(name, "tvm_sparse.api.stages")), name)
    raise AttributeError(f"module 'tvm_sparse' has no attribute {name!r}")
