"""Checkpoints of 8 bits: what the package compressed-tensors calls `int-quantized`.

Weights are integers with a step for every output, `w = weight * weight_scale`, symmetric around
zero; tokens are rounded as they come. Whatever else the package knows is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import numpy as np
from msgspec import Meta

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.read import check_types
from tvm_sparse.sources.stored_tensors import FLOATS, StoredTensor
from tvm_sparse.sources.weight import Array, Weight

#: Key of `config.json` that says how weights are stored.
CONFIG_KEY = "quantization_config"
_METHOD, _FORMAT = "compressed-tensors", "int-quantized"
_SCALE, _ZERO = "_scale", "_zero_point"
_READ = (
    "read are compressed-tensors' int-quantized weights of 8 bits, symmetric with a scale for each "
    "output, and activations rounded for each token; else save the model dequantised, without "
    f"{CONFIG_KEY}"
)
_Bits = Annotated[int, Meta(ge=1, le=64)]


class _Arguments(TypedDict, total=False):
    num_bits: _Bits
    type: str
    symmetric: bool
    strategy: str | None
    dynamic: bool | str
    group_size: int | None


class _Group(TypedDict, total=False):
    weights: _Arguments | None
    input_activations: _Arguments | None
    output_activations: _Arguments | None


class _Compression(TypedDict, total=False):
    quant_method: str
    format: str
    quantization_status: str
    config_groups: dict[str, _Group]
    kv_cache_scheme: dict[str, Any] | None
    sparsity_config: dict[str, Any] | None


def is_compressed(config: Mapping[str, Any]) -> bool:
    """Return whether a checkpoint's `config.json` says that its weights are integers."""
    return bool(config.get(CONFIG_KEY))


def check_compression(config: Mapping[str, Any], where: str) -> None:
    """Refuse weights that are quantised in a way that is not read.

    Parameters
    ----------
    config : mapping
        A checkpoint's `config.json`.
    where : str
        That file, for the message.

    Raises
    ------
    CheckpointError
        They are.
    """
    if not is_compressed(config):
        return
    given = config[CONFIG_KEY]
    method = given.get("quant_method") if isinstance(given, dict) else given
    if method != _METHOD:
        raise CheckpointError(
            f"{where} says that the weights are quantised ({method}), which is not read: {_READ}"
        )
    compression = check_types(given, _Compression, f"{where}: {CONFIG_KEY}", CheckpointError)
    if fault := _fault(compression):
        raise CheckpointError(f"{where} says that the weights are quantised with {fault}: {_READ}")


def _fault(compression: _Compression) -> str:
    """Return what of a compression is not read; empty if all is."""
    groups = compression.get("config_groups") or {}
    kinds = [group.get("weights") for group in groups.values()]
    inputs = [group.get("input_activations") for group in groups.values()]
    sparsity = (compression.get("sparsity_config") or {}).get("format", "dense")
    faults = {
        f"format {compression.get('format')}": compression.get("format") != _FORMAT,
        "no groups of layers": not groups,
        "weights of another kind": not all(
            kind
            and (kind.get("num_bits"), kind.get("type", "int")) == (8, "int")
            and kind.get("symmetric", True)
            and kind.get("strategy") == "channel"
            for kind in kinds
        ),
        "activations of another kind": not all(
            kind
            and (kind.get("num_bits"), kind.get("type", "int")) == (8, "int")
            and kind.get("strategy") == "token"
            and kind.get("dynamic") is True
            for kind in inputs
        ),
        "rounded outputs": any(group.get("output_activations") for group in groups.values()),
        "a rounded cache": bool(compression.get("kv_cache_scheme")),
        f"zeros packed as {sparsity}": sparsity != "dense",
    }
    return next((fault for fault, is_there in faults.items() if is_there), "")


@dataclass(frozen=True)
class _Steps:
    """A weight of integers, and the tensor of its steps."""

    integers: StoredTensor
    scale: StoredTensor

    def read(self) -> Array:
        steps = self.scale.read().astype(np.float32).reshape(-1, 1)
        return np.asarray(self.integers.read() * steps, np.float32)


def take_compressed(tensors: dict[str, StoredTensor]) -> list[Weight]:
    """Take integers and their steps out of tensors by name, and return the weights they are.

    Raises
    ------
    CheckpointError
        A weight has no step for each output, or is not symmetric.
    """
    weights = []
    for name in [name for name in tensors if name.endswith(f".weight{_SCALE}")]:
        stem = name.removesuffix(_SCALE)
        scale, integers = tensors.pop(name), tensors.pop(stem, None)
        zero = tensors.pop(f"{stem}{_ZERO}", None)
        if integers is None or integers.dtype != "I8" or len(integers.shape) != 2:
            kind = "nothing" if integers is None else f"{integers.dtype} of {integers.shape}"
            raise CheckpointError(
                f"{name} in {scale.path} is of {stem}, which is {kind}: a matrix of I8 is needed"
            )
        units = integers.shape[0]
        if scale.dtype not in FLOATS or scale.shape not in ((units, 1), (units,)):
            raise CheckpointError(
                f"{name} in {scale.path} is {scale.dtype} of {scale.shape}: a floating-point scale "
                f"for each of {units} outputs is needed"
            )
        if zero is not None and zero.read().any():
            raise CheckpointError(
                f"{stem}{_ZERO} in {zero.path} is not 0: weights symmetric around zero are needed"
            )
        weights.append(Weight(stem, integers.shape, _Steps(integers, scale).read))
    return weights
