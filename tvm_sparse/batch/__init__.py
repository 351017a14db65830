"""Answers about files of texts, on many cores and machines, on Ray Data."""

from __future__ import annotations

from typing import Any

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    """Import the predictor when it is asked for: records are read without TVM."""
    if name in __all__:
        from tvm_sparse.batch.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
