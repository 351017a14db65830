"""The header of a safetensors file, checked to the byte.

The format (github.com/huggingface/safetensors): eight bytes little-endian length of a JSON header,
the header {name: {dtype, shape, data_offsets}}, then the tensors' bytes one after the other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from tvm_sparse.errors import CheckpointError
from tvm_sparse.records.read import check_types, one_line, parse_json

#: Bits of a value by dtype, in the format's own spelling.
DTYPE_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
#: The reference implementation refuses longer headers too.
_MAX_HEADER_BYTES = 100_000_000
_METADATA = "__metadata__"
_AGAIN = "fetch it again"

_Bytes = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class HeaderEntry:
    """A tensor in a header.

    Attributes
    ----------
    dtype : str
        A key of `DTYPE_BITS`.
    shape : tuple of int
        Row-major.
    data_offsets : (int, int)
        First byte and last + 1, counted from the end of the header.
    """

    dtype: str
    shape: Annotated[tuple[_Bytes, ...], Meta(max_length=32)]
    data_offsets: tuple[_Bytes, _Bytes]


@dataclass(frozen=True)
class Header:
    """What a file holds: its tensors in order of their bytes, and where those begin."""

    tensors: dict[str, HeaderEntry]
    data_start: int


def read_header(path: Path) -> Header:
    """Read a file's header and check that the tensors in it are all of the file.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    CheckpointError
        It cannot be read, bytes are missing or left over, tensors overlap, or one has another
        size than its shape and dtype say.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            prefix = file.read(8)
            length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
            if 8 + length > size or length > _MAX_HEADER_BYTES:
                raise CheckpointError(
                    f"{path} is truncated or no safetensors file ({size} bytes, its header alone "
                    f"would be longer): {_AGAIN}"
                )
            text = file.read(length)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    origin = f"the header of {path}"
    document = parse_json(text, origin, CheckpointError, _AGAIN)
    if isinstance(document, dict):
        document.pop(_METADATA, None)
    kind = dict[str, HeaderEntry]
    found: dict[str, HeaderEntry] = check_types(document, kind, origin, CheckpointError, _AGAIN)
    tensors = dict(sorted(found.items(), key=lambda item: item[1].data_offsets))
    end = _check_layout(tensors, origin)
    expected = 8 + length + end
    if size != expected:
        what = "truncated" if size < expected else "longer than its header says"
        raise CheckpointError(f"{path} is {what}: {size} bytes, {expected} are expected; {_AGAIN}")
    return Header(tensors, 8 + length)


def _check_layout(tensors: dict[str, HeaderEntry], origin: str) -> int:
    """Return where the last tensor ends; each one begins where the one before it ended."""
    position = 0
    for name, entry in tensors.items():
        begin, end = entry.data_offsets
        if entry.dtype not in DTYPE_BITS:
            fault = f"has the unknown dtype {entry.dtype!r}"
        elif begin != position:
            fault = f"begins at byte {begin}, where {position} is expected"
        elif (end - begin) * 8 != prod(entry.shape) * DTYPE_BITS[entry.dtype]:
            fault = (
                f"has {end - begin} bytes, which is not what {entry.dtype}{list(entry.shape)} takes"
            )
        else:
            position = end
            continue
        raise CheckpointError(one_line(f"{origin}: {name} {fault}", _AGAIN))
    return position
