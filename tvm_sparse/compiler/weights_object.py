"""Write weights as an object file that any linker can put into a library.

An ELF64 relocatable file with three sections, the weights, their table and the signature of the
function that takes them, each under a symbol of its own. Written by hand because the alternatives
are slow or missing: weights as constants of the compiled module are serialised, copied and linked
several times over, and an assembler's `.incbin` is not there where only a linker is. The bytes go
straight from the arrays to the file.

Source: System V ABI, chapter 4 "Object Files"; its AMD64 supplement for the large section.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tvm_sparse.runtime.weights import (
    ALIGNMENT_BYTES,
    SIGNATURE_SYMBOL,
    TABLE_SYMBOL,
    WEIGHTS_SYMBOL,
    weight_offsets,
    weight_table,
)

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATABLE = 1
_MACHINES = {"x86": 62, "aarch64": 183}
_PROGBITS, _SYMTAB, _STRTAB = 1, 2, 3
_ALLOC, _X86_64_LARGE = 0x2, 0x10000000
_GLOBAL_OBJECT = 1 << 4 | 1


@dataclass
class _Section:
    name: str
    kind: int
    size: int
    align: int
    flags: int = 0
    link: int = 0
    info: int = 0
    entry_size: int = 0
    offset: int = 0


def write_weights_object(
    weights: Sequence[np.ndarray], isa: str, path: Path, signature: str = ""
) -> None:
    """Write an object file with the symbols of `runtime.weights`.

    The weights are in order of the function's parameters, `isa` is `aarch64`, or a level of x86-64,
    `signature` the function's. Raises OSError if the file cannot be written.
    """
    foreign = isa == "aarch64"
    table, text = weight_table(weights).tobytes(), signature.encode() + b"\0"
    offsets, weights_bytes = weight_offsets(weights)
    sizes = {WEIGHTS_SYMBOL: weights_bytes, TABLE_SYMBOL: len(table), SIGNATURE_SYMBOL: len(text)}
    names = b"\0".join((b"", *(name.encode() for name in sizes), b""))
    symbols = bytes(_SYMBOL.size) + b"".join(
        _SYMBOL.pack(names.index(name.encode() + b"\0"), _GLOBAL_OBJECT, 0, section, 0, size)
        for section, (name, size) in enumerate(sizes.items(), start=1)
    )
    # A linker puts the large section of x86-64 behind everything else, where gigabytes do not
    # come between code and its data, which reach each other over 2 GB at most.
    sections = [
        _Section("", 0, 0, 0),
        _Section(".rodata", _PROGBITS, weights_bytes, ALIGNMENT_BYTES, _ALLOC)
        if foreign
        else _Section(
            ".lrodata", _PROGBITS, weights_bytes, ALIGNMENT_BYTES, _ALLOC | _X86_64_LARGE
        ),
        _Section(".rodata.table", _PROGBITS, len(table), 8, _ALLOC),
        _Section(".rodata.signature", _PROGBITS, len(text), 1, _ALLOC),
        # Without this note a linker takes the stack for executable.
        _Section(".note.GNU-stack", _PROGBITS, 0, 1),
        _Section(".symtab", _SYMTAB, len(symbols), 8, link=6, info=1, entry_size=_SYMBOL.size),
        _Section(".strtab", _STRTAB, len(names), 1),
        _Section(".shstrtab", _STRTAB, 0, 1),
    ]
    section_names = b"".join(section.name.encode() + b"\0" for section in sections)
    sections[-1].size = len(section_names)
    end = _HEADER.size
    for section in sections[1:]:
        section.offset = _align(end, section.align)
        end = section.offset + section.size
    headers_at = _align(end, 8)
    header = _HEADER.pack(
        b"\x7fELF\x02\x01\x01".ljust(16, b"\0"),
        *(_RELOCATABLE, _MACHINES["aarch64" if foreign else "x86"], 1, 0, 0, headers_at, 0),
        *(_HEADER.size, 0, 0, _SECTION.size, len(sections), len(sections) - 1),
    )
    with path.open("wb") as stream:
        stream.write(header)
        _write_weights(stream, weights, [sections[1].offset + offset for offset in offsets])
        for section, content in zip(
            (*sections[2:4], *sections[5:]),
            (table, text, symbols, names, section_names),
            strict=True,
        ):
            _pad(stream, section.offset)
            stream.write(content)
        _pad(stream, headers_at)
        for section in sections:
            stream.write(_pack_section(section, section_names))


def _write_weights(stream: BinaryIO, weights: Sequence[np.ndarray], offsets: list[int]) -> None:
    for weight, offset in zip(weights, offsets, strict=True):
        _pad(stream, offset)
        stream.write(np.ascontiguousarray(weight).reshape(-1).view(np.uint8).data)


def _pack_section(section: _Section, names: bytes) -> bytes:
    name_at = names.index(section.name.encode() + b"\0") if section.name else 0
    return _SECTION.pack(
        *(name_at, section.kind, section.flags, 0, section.offset, section.size),
        *(section.link, section.info, section.align, section.entry_size),
    )


def _pad(stream: BinaryIO, offset: int) -> None:
    stream.write(bytes(offset - stream.tell()))


def _align(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment
