"""A `.pt2` archive of `torch.export.save`: checked and read without PyTorch, and without pickle.

It is a zip of a program (JSON) and of arrays as they lie in memory. What `tvm_sparse.export_pt2`
adds to it is the model's `config.json`, its signature, and what PyTorch computed.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
from msgspec import Meta

from tvm_sparse.errors import CheckpointError
from tvm_sparse.model.facts import TensorSpec, WeightGaps
from tvm_sparse.records.read import check_types, parse_json

#: The version of PyTorch's schema that is read; its minor versions only add.
SCHEMA = 8
FACTS_FILE = "tvm_sparse.json"
REFERENCE_FILE = "tvm_sparse/reference.npz"
#: PyTorch's numbers of dtypes.
DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    10: "complex64",
    12: "bool",
    13: "bfloat16",
}
_ADVICE = "export it again (python -m tvm_sparse.export_pt2, or torch.export.save)"
#: Programs are large for their metadata: a stack trace a node.
_MOST_PROGRAM_BYTES = 1 << 30

_Extent = Annotated[int, Meta(ge=0, le=1 << 40)]


class _Expression(TypedDict):
    expr_str: str


class _Size(TypedDict, total=False):
    as_int: _Extent
    #: Where the run decides.
    as_expr: _Expression


class TensorMeta(TypedDict):
    """What an archive says of a tensor."""

    dtype: int
    sizes: list[_Size]
    strides: list[_Size]
    storage_offset: _Size


class _Payload(TypedDict):
    path_name: str
    use_pickle: bool
    tensor_meta: TensorMeta


class _Payloads(TypedDict):
    config: dict[str, _Payload]


@dataclass(frozen=True)
class Pt2Facts:
    """What `tvm_sparse.export_pt2` says of the model that it exported.

    Attributes
    ----------
    name, architecture, config
        As `ModelSource` has them.
    inputs : tuple of TensorSpec
        In the order of the program's, of which the batch may be a share of theirs.
    outputs : tuple of str
        Their names.
    prefix : str
        What stands before the names of the weights under a head, `bert`, where they lack it.
    gaps : WeightGaps
        Where the model and its checkpoint do not match.
    """

    name: str
    architecture: str
    config: dict[str, Any]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[str, ...]
    prefix: str = ""
    gaps: WeightGaps = field(default_factory=WeightGaps)


class Pt2Archive:
    """An archive, opened.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    CheckpointError
        It is no such archive, is truncated, or has another version of the schema.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            reason = getattr(error, "strerror", None) or "it is no zip file, or truncated"
            raise CheckpointError(f"{path} cannot be read: {reason}; {_ADVICE}") from None
        names = self._zip.namelist()
        self._root = names[0].partition("/")[0] if names else ""
        self._names = {name.partition("/")[2] for name in names}
        if "serialized_exported_program.json" in {name.rpartition("/")[2] for name in names}:
            raise CheckpointError(
                f"{path} is of a PyTorch before 2.7, which is not read: {_ADVICE}"
            )
        programs = [n for n in self._names if n.startswith("models/") and n.endswith(".json")]
        if "archive_format" not in self._names or len(programs) != 1:
            raise CheckpointError(f"{path} holds no program of torch.export.save: {_ADVICE}")
        order = self._read("byteorder").strip() if "byteorder" in self._names else b"little"
        if order != b"little":
            raise CheckpointError(f"{path} has its numbers in the order {order!r}: {_ADVICE}")
        self._model = programs[0].removeprefix("models/").removesuffix(".json")
        self.program: dict[str, Any] = self._json(programs[0])
        version = self.program.get("schema_version") if isinstance(self.program, dict) else None
        major = version.get("major") if isinstance(version, dict) else None
        if major != SCHEMA:
            raise CheckpointError(
                f"{path} has version {major} of PyTorch's schema, {SCHEMA} is read: {_ADVICE}, "
                "with PyTorch 2.7 to 2.13"
            )

    def weights(self) -> dict[str, np.ndarray]:
        """Return parameters and persistent buffers by PyTorch's names.

        Raises
        ------
        CheckpointError
            An array is not as long as its shape says, or is stored in a way that is not read.
        """
        return self._tensors("weights")

    def constants(self) -> dict[str, np.ndarray]:
        """Return the other tensors that the program reads; raises as `weights` does."""
        return self._tensors("constants")

    def facts(self) -> Pt2Facts | None:
        """Return what `export_pt2` wrote, None if something else made the archive."""
        if f"extra/{FACTS_FILE}" not in self._names:
            return None
        document = self._json(f"extra/{FACTS_FILE}")
        origin = f"{self.path}: {FACTS_FILE}"
        facts: Pt2Facts = check_types(document, Pt2Facts, origin, CheckpointError, _ADVICE)
        return facts

    def reference(self) -> dict[str, np.ndarray]:
        """Return what PyTorch computed, by `inputs/`, `outputs/` and `layers/`, if it is there."""
        if REFERENCE_FILE not in self._names:
            return {}
        try:
            with np.load(io.BytesIO(self._read(REFERENCE_FILE))) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except (ValueError, zipfile.BadZipFile):
            raise CheckpointError(f"{self.path}: {REFERENCE_FILE} is damaged; {_ADVICE}") from None

    def _tensors(self, kind: str) -> dict[str, np.ndarray]:
        name = f"data/{kind}/{self._model}_{kind}_config.json"
        if name not in self._names:
            return {}
        origin = f"{self.path}: {name}"
        table: _Payloads = check_types(
            self._json(name), _Payloads, origin, CheckpointError, _ADVICE
        )
        return {key: self._array(kind, key, entry) for key, entry in table["config"].items()}

    def _array(self, kind: str, name: str, payload: _Payload) -> np.ndarray:
        meta = payload["tensor_meta"]
        dtype = DTYPES.get(meta["dtype"], f"number {meta['dtype']}")
        if payload["use_pickle"] or dtype not in np.sctypeDict:
            kept = "pickled" if payload["use_pickle"] else f"of dtype {dtype}"
            raise CheckpointError(
                f"{name} in {self.path} is {kept}, which is not read: export the model in float32 "
                "(`model.float()`)"
            )
        data = self._read(f"data/{kind}/{payload['path_name']}")
        storage = np.frombuffer(data, dtype) if len(data) % np.dtype(dtype).itemsize == 0 else None
        shape, strides = (static(meta[key], name) for key in ("sizes", "strides"))
        (offset,) = static([meta["storage_offset"]], name)
        last = offset + sum((e - 1) * s for e, s in zip(shape, strides, strict=False))
        empty = prod(shape) == 0
        if storage is None or len(shape) != len(strides) or not (empty or last < storage.size):
            raise CheckpointError(
                f"{name} in {self.path} has {len(data)} bytes, too few for its shape "
                f"{'x'.join(map(str, shape)) or '1'}: {_ADVICE}"
            )
        if empty:
            return np.zeros(shape, dtype)
        steps = [step * storage.itemsize for step in strides]
        return np.lib.stride_tricks.as_strided(storage[offset:], shape, steps, writeable=False)

    def _json(self, name: str) -> dict[str, Any]:
        document = parse_json(self._read(name), f"{self.path}: {name}", CheckpointError, _ADVICE)
        return document if isinstance(document, dict) else {}

    def _read(self, name: str) -> bytes:
        try:
            entry = self._zip.getinfo(f"{self._root}/{name}")
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > _most(name):
                raise CheckpointError(f"{self.path}: {name} is compressed or too large; {_ADVICE}")
            return self._zip.read(entry)
        except (KeyError, OSError, EOFError, zipfile.BadZipFile):
            raise CheckpointError(f"{self.path}: {name} is missing or damaged; {_ADVICE}") from None


def static(sizes: list[_Size] | list[Mapping[str, Any]], name: str) -> tuple[int, ...]:
    """Return extents as numbers.

    Raises
    ------
    CheckpointError
        One is none.
    """
    if any(not isinstance(size.get("as_int"), int) for size in sizes):
        raise CheckpointError(f"{name} is stored with extents that are no numbers: {_ADVICE}")
    return tuple(int(size["as_int"]) for size in sizes)


def _most(name: str) -> int:
    return _MOST_PROGRAM_BYTES if name.endswith(".json") else 1 << 40
