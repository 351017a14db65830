"""What the server says of itself and of its models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tvm_sparse
from tvm_sparse.serve.repository import Repository
from tvm_sparse.serve.served_model import ServedModel
from tvm_sparse.serve.statistics import Statistics
from tvm_sparse.serve.tensors import BYTES, TensorPlace

_EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")


def describe_server() -> dict[str, Any]:
    """Return what `/v2` says."""
    return {
        "name": "tvm_sparse",
        "version": tvm_sparse.__version__,
        "extensions": list(_EXTENSIONS),
    }


def describe_model(model: ServedModel) -> dict[str, Any]:
    """Return what `/v2/models/<name>` says."""

    def tensors(places: Iterable[TensorPlace]) -> list[dict[str, Any]]:
        return [{"name": p.name, "datatype": p.datatype, "shape": list(p.shape)} for p in places]

    return {
        "name": model.name,
        "versions": ["1"],
        "platform": model.signature.platform,
        "inputs": tensors(model.signature.inputs),
        "outputs": tensors(model.signature.outputs),
    }


def describe_config(model: ServedModel) -> dict[str, Any]:
    """Return what `/v2/models/<name>/config` says: extents count the batch."""

    def tensors(places: Iterable[TensorPlace]) -> list[dict[str, Any]]:
        return [
            {
                "name": place.name,
                "data_type": "TYPE_STRING" if place.datatype == BYTES else f"TYPE_{place.datatype}",
                "dims": list(place.shape),
                **({"optional": True} if place.optional else {}),
            }
            for place in places
        ]

    return {
        "name": model.name,
        "platform": model.signature.platform,
        "backend": "tvm_sparse",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": tensors(model.signature.inputs),
        "output": tensors(model.signature.outputs),
        "parameters": {
            "max_queue_size": {"string_value": str(model.queue.max_size)},
            "timeout_ms": {"string_value": str(model.queue.timeout_ms)},
        },
    }


def describe_statistics(counts: Mapping[str, Statistics]) -> dict[str, Any]:
    """Return what `/v2/models/stats` says of some models, by name."""
    return {"model_stats": [one.document(name) for name, one in counts.items()]}


def describe_repository(repository: Repository, only_ready: bool) -> list[dict[str, str]]:
    """Return what `/v2/repository/index` says; a model that is there may not be renewed."""
    states = {
        **dict.fromkeys(repository.faults, "UNAVAILABLE"),
        **dict.fromkeys(repository.expected, "LOADING"),
        **dict.fromkeys(repository.models, "READY"),
    }
    return [
        {"name": name, "version": "1", "state": state, "reason": repository.faults.get(name, "")}
        for name, state in states.items()
        if state == "READY" or not only_ready
    ]
