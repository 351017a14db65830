"""The files of a checkpoint directory: found, checked for damage and hashed, without TensorFlow."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.read import check_types, read_json
from tvm_sparse.records.safetensors_header import read_header
from tvm_sparse.sources.other_formats import find_other_weights

SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
TF_WEIGHTS = "tf_model.h5"
TF_INDEX = "tf_model.h5.index.json"
TORCH_WEIGHTS = "pytorch_model.bin"
TORCH_INDEX = "pytorch_model.bin.index.json"
# In order of preference: safetensors can be checked to the byte, HDF5 cannot, and what PyTorch
# pickled is read by it alone.
WEIGHT_FILES = (SAFETENSORS, SAFETENSORS_INDEX, TF_WEIGHTS, TF_INDEX, TORCH_WEIGHTS, TORCH_INDEX)
_FORMATS = {".safetensors": "safetensors", ".h5": "h5", ".bin": "bin"}

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class _Index(TypedDict, total=False):
    weight_map: dict[str, Annotated[str, Meta(min_length=1, max_length=200)]]


@dataclass(frozen=True)
class CheckpointFiles:
    """The weight files of one checkpoint; `format` is "safetensors", "h5" or "bin"."""

    format: str
    paths: tuple[Path, ...]


def find_weights(directory: Path) -> CheckpointFiles | None:
    """Return the checked weight files in `directory`, None when there are none.

    Raises
    ------
    CheckpointError
        A file is damaged, a shard is missing, or the only weights are in a format that is not
        read.
    """
    for name in WEIGHT_FILES:
        path = directory / name
        if not path.is_file():
            continue
        paths = _shards(path) if name.endswith(".index.json") else (path,)
        for part in paths:
            _check(part)
        return CheckpointFiles(_FORMATS[Path(name.removesuffix(".index.json")).suffix], paths)
    if refusal := find_other_weights(directory):
        raise CheckpointError(f"{directory} has its weights only in {refusal}")
    return None


def shard_names(index: Path) -> list[str]:
    """Return the file names that an index of shards lists.

    Raises
    ------
    CheckpointError
        It is no index, or names something else than files beside it.
    """
    document = read_json(index, CheckpointError)
    found = check_types(document, _Index, str(index), CheckpointError)
    names = sorted(set(found.get("weight_map", {}).values()))
    if not names:
        raise CheckpointError(f"{index} lists no shards: fetch it again")
    for name in names:
        if "/" in name or "\0" in name:
            raise CheckpointError(f"{index} names the shard {name!r}, which is no file beside it")
    return names


def hash_files(paths: tuple[Path, ...]) -> str:
    """Return the sha256 over the contents of `paths`, in order, as hexadecimal text."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def _shards(index: Path) -> tuple[Path, ...]:
    names = shard_names(index)
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{index.parent} lacks {', '.join(missing)}, which {index.name} names"
        )
    return tuple(index.parent / name for name in names)


def _check(path: Path) -> None:
    """Refuse a file that is damaged, as far as that shows without reading all of it."""
    if path.suffix == ".safetensors":
        read_header(path)
    elif path.suffix == ".h5":
        _check_hdf5(path)
    elif not path.stat().st_size:
        raise CheckpointError(f"{path} is empty: fetch it again")


def _check_hdf5(path: Path) -> None:
    """Check signature and length; versions 0, 2 and 3 of the superblock store the end of file."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(48)
    if not head.startswith(_HDF5_SIGNATURE):
        raise CheckpointError(f"{path} is no HDF5 file: fetch it again")
    offset = {0: 40, 2: 28, 3: 28}.get(head[8] if len(head) > 8 else -1)
    if offset is None or len(head) < offset + 8:
        return
    expected = struct.unpack("<Q", head[offset : offset + 8])[0]
    if size < expected:
        raise CheckpointError(
            f"{path} is truncated: {size} bytes, {expected} are expected; fetch it again"
        )
