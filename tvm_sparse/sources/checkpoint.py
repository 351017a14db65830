"""The files of a checkpoint directory: found, checked for damage and hashed, without TensorFlow."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.read import parse_json, read_json

SAFETENSORS = "model.safetensors"
SAFETENSORS_INDEX = "model.safetensors.index.json"
TF_WEIGHTS = "tf_model.h5"
TF_INDEX = "tf_model.h5.index.json"
# In order of preference: safetensors can be checked to the byte, HDF5 cannot.
WEIGHT_FILES = (SAFETENSORS, SAFETENSORS_INDEX, TF_WEIGHTS, TF_INDEX)
PYTORCH_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# The reference implementation refuses longer headers too; it bounds what a damaged length reads.
_MAX_HEADER_BYTES = 100_000_000
_AGAIN = "fetch it again"


@dataclass(frozen=True)
class CheckpointFiles:
    """The weight files of one checkpoint; `format` is "safetensors" or "h5"."""

    format: str
    paths: tuple[Path, ...]


def load_config(directory: Path) -> dict[str, Any]:
    """Return the contents of a directory's `config.json`.

    Raises
    ------
    CheckpointError
        It is missing, is not a JSON object, or names no `model_type`.
    """
    path = directory / "config.json"
    if not path.exists():
        raise CheckpointError(
            f"directory {directory} has no config.json: give a directory as "
            "`save_pretrained` writes it (config.json and model.safetensors or tf_model.h5)"
        )
    config = read_json(path, CheckpointError)
    if not isinstance(config, dict) or not config.get("model_type"):
        raise CheckpointError(f"{path} names no model_type: it is no model's config.json")
    return config


def find_weights(directory: Path) -> CheckpointFiles | None:
    """Return the checked weight files in `directory`, None when there are none.

    Raises
    ------
    CheckpointError
        A file is damaged, a shard is missing, or the only weights are PyTorch pickles.
    """
    for name in WEIGHT_FILES:
        path = directory / name
        if not path.is_file():
            continue
        paths = _shards(path) if name.endswith(".index.json") else (path,)
        for part in paths:
            check_safetensors(part) if part.suffix == ".safetensors" else _check_hdf5(part)
        return CheckpointFiles("safetensors" if "safetensors" in name else "h5", paths)
    pickle = next((name for name in PYTORCH_FILES if (directory / name).is_file()), None)
    if pickle:
        raise CheckpointError(
            f"{directory} has its weights in {pickle} only, which is not read: convert it to "
            "safetensors (PyTorch's transformers: `model.save_pretrained(directory)`)"
        )
    return None


def check_safetensors(path: Path) -> None:
    """Check that a safetensors file's header is sound and that no byte is missing.

    Raises
    ------
    CheckpointError
        The header cannot be read, or the file's length is not what the header says.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
        if 8 + length > size or length > _MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{path} is truncated or no safetensors file ({size} bytes, its header alone "
                "would be longer): fetch it again"
            )
        header = parse_json(file.read(length), f"the header of {path}", CheckpointError, _AGAIN)
        try:
            ends = [t["data_offsets"][1] for name, t in header.items() if name != "__metadata__"]
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise CheckpointError(f"the header of {path} is damaged ({error}): {_AGAIN}") from None
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        what = "truncated" if size < expected else "longer than its header says"
        raise CheckpointError(
            f"{path} is {what}: {size} bytes, {expected} are expected; fetch it again"
        )


def shard_names(index: Path) -> list[str]:
    """Return the file names that an index of shards lists; CheckpointError if it is no index."""
    try:
        return sorted(set(read_json(index, CheckpointError)["weight_map"].values()))
    except (KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"{index} cannot be read as an index of shards: {error}") from None


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
