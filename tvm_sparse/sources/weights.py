"""The weights of a checkpoint under the names its model knows them by, however they were spelled.

Files hold more than weights as they are to run: prefixes that wrappers add, a weight and its mask
side by side, scores that say which values count. What the model should compute is read here once,
so that no importer has to know; what cannot be read is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.sources.checkpoint import CheckpointFiles
from tvm_sparse.sources.compressed_tensors import is_compressed, take_compressed
from tvm_sparse.sources.mask_scores import apply_mask_scores
from tvm_sparse.sources.stored_tensors import FLOATS, StoredTensor, stored_tensors
from tvm_sparse.sources.weight import Array, Weight

#: Parts in front of every name that wrappers add: DataParallel, torch.compile.
_WRAPPERS = re.compile(r"^(?:(?:module|_orig_mod)\.)+")
#: Ends of names that only checkpoints have whose other weights do not mean what they say.
_UNREAD = {
    r"\.lora_[AB](\.\w+)?(\.weight)?$|\.lora_embedding_[AB]": "adapters (LoRA), which are not "
    "merged into the weights: merge them (`merge_and_unload`) and save the model",
    r"(_scale|_scale_inv|zero_points?|\.SCB|\.qweight|\.qzeros|\.scales|\.absmax|\.quant_map)$": (
        "the scales of quantised weights, which are not read: save the model dequantised"
    ),
}


def read_weights(files: CheckpointFiles, config: Mapping[str, Any]) -> dict[str, Weight]:
    """List the weights of a checkpoint by name; values are read when they are asked for.

    Parameters
    ----------
    files : CheckpointFiles
        As `find_weights` returns them.
    config : mapping
        The checkpoint's `config.json`.

    Raises
    ------
    CheckpointError
        They are stored in a way that is not read: quantised in most ways, or as adapters.
    """
    if files.format == "h5":
        return {weight.name: weight for path in files.paths for weight in _hdf5_weights(path)}
    tensors = {
        _WRAPPERS.sub("", tensor.name).removesuffix(":0"): tensor
        for path in files.paths
        for tensor in stored_tensors(path)
    }
    compressed = take_compressed(tensors) if is_compressed(config) else []
    _refuse_unread(tensors)
    weights = (*compressed, *(_plain(name, tensor) for name, tensor in tensors.items()))
    whole = _masked({weight.name: weight for weight in weights})
    return apply_mask_scores(whole, files.paths[0].parent, config)


def _plain(name: str, tensor: StoredTensor) -> Weight:
    # The names that PyTorch's layer norms had before 2019.
    for old, new in ((".gamma", ".weight"), (".beta", ".bias")):
        name = name.removesuffix(old) + new if name.endswith(f"LayerNorm{old}") else name
    return Weight(name, tensor.shape, tensor.read)


def _refuse_unread(tensors: Mapping[str, StoredTensor]) -> None:
    for pattern, what in _UNREAD.items():
        found = [name for name in tensors if re.search(pattern, name)]
        if found:
            raise CheckpointError(
                f"{tensors[found[0]].path} holds {what} ({len(found)} tensors, first {found[0]})"
            )
    for name, tensor in tensors.items():
        # Matrices alone: buffers such as position ids are integers too.
        if tensor.dtype not in FLOATS and name.endswith(("weight", "kernel")):
            raise CheckpointError(
                f"{name} in {tensor.path} is stored as {tensor.dtype}: quantised weights are not "
                f"read; save the model dequantised, in one of {', '.join(FLOATS)}"
            )


def _masked(weights: dict[str, Weight]) -> dict[str, Weight]:
    """Multiply `w_orig` with `w_mask`: what torch.nn.utils.prune keeps until `prune.remove`."""
    whole = dict(weights)
    for name, mask in weights.items():
        stem = name.removesuffix("_mask")
        original = weights.get(f"{stem}_orig")
        if stem == name or original is None:
            continue
        if original.shape != mask.shape:
            raise CheckpointError(
                f"{stem}_orig is {_by(original.shape)} and {name} {_by(mask.shape)}: a mask must "
                "have the shape of its weight"
            )
        del whole[name], whole[original.name]
        whole[stem] = replace(original.times(mask.read), name=stem)
    return whole


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a scalar"


def _hdf5_weights(path: Path) -> list[Weight]:
    """List the data sets of a file by transformers, without the names of model and layer."""
    import h5py

    found: list[Weight] = []
    with h5py.File(path) as file:
        # Shards have names at once; whole models a group a layer, and full names below.
        groups = [item for item in file.values() if isinstance(item, h5py.Group)]
        nested = any(key.startswith("weight_names") for group in groups for key in group.attrs)

        def visit(place: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                name = "/".join(place.split("/")[2:]) if nested else place
                name = name.removesuffix(":0")
                found.append(Weight(name, tuple(item.shape), lambda: _read_hdf5(path, place)))

        file.visititems(visit)
    return found


def _read_hdf5(path: Path, place: str) -> Array:
    import h5py

    with h5py.File(path) as file:
        return np.asarray(file[place])
