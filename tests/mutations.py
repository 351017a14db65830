"""Files that lie: seeded mutants of sound JSON, YAML and safetensors files, and of plain bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

#: What stands where something else is meant.
NASTY: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 2, 255, 10**9, 2**31, -(2**31), 2**53, 2**63, 10**400),
    *(0.5, -0.0, 1e-308, 1e308, float("nan"), float("inf"), -float("inf")),
    *("", "x", "1", "0x1", "float32", "x" * 5000, "\x1b[31m\r\n", "\0", "\ud800", "é\u202e"),
    *("../../etc/passwd", "/", ".", "%s{}", "true", "2020-13-45"),
    *([], [1], [None], ["x"], {}, {"a": 1}, {"": None}, [[[[[[[[1]]]]]]]], [0] * 300),
)
#: What a text is broken with.
SCRAPS = (
    *(b"[" * 100_000, b'{"a":' * 20_000, b"\0", b"\xff\xfe", b"\xed\xa0\x80", b"NaN", b"1e999"),
    *(b"-" * 40, b"9" * 5000, b'"', b"\\", b"}", b"]", b",", b":", b"\xef\xbb\xbf", b"Infinity"),
    *(b" .inf", b" 2020-13-45", b" &a ", b" *a", b" !!int ", b" !!python/object:os.system ", b"? "),
    *(b"\n- ", b"\n<<: 3\n", b" 0x" + b"f" * 5000, b" 0b_", b" 1:59:59.5", b"---\n", b"\t"),
)


def mutate_document(document: Any, random: Random) -> Any:
    """Return a copy of JSON-ready values with one to three of them changed, added or gone."""
    copy = deepcopy(document)
    for _ in range(random.randint(1, 3)):
        holders = list(_holders(copy))
        if not holders:
            return deepcopy(random.choice(NASTY))
        holder, keys = random.choice(holders)
        key = random.choice(keys)
        deed = random.randrange(8)
        if deed == 0:
            del holder[key]
        elif deed == 1 and isinstance(holder, dict):
            holder[str(random.choice(NASTY))[:300]] = holder.pop(key)
        elif deed == 2:
            other, others = random.choice(holders)
            holder[key] = deepcopy(other[random.choice(others)])
        elif deed == 3 and isinstance(holder, list):
            holder *= random.choice((2, 3))
        elif deed == 4 and type(holder[key]) is int:
            holder[key] += random.choice((-1, 1, 2**32, -(2**40)))
        else:
            holder[key] = deepcopy(random.choice(NASTY))
    return copy


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Return the bytes cut, flipped, doubled, or with something put between them."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((1, 2, 8, 64)))
        deed = random.randrange(6)
        if deed == 0:
            data = data[:at]
        elif deed == 1:
            data = data[:at] + data[end:]
        elif deed == 2:
            data = data[:at] + random.choice(SCRAPS) + data[at:]
        elif deed == 3:
            data = data[:at] + random.choice(SCRAPS) + data[end:]
        elif deed == 4:
            data = data[:end] + data[at:]
        else:
            data = data[:at] + bytes(random.randrange(256) for _ in data[at:end]) + data[end:]
    return data


def mutate_json(data: bytes, random: Random) -> bytes:
    """Return a JSON file (which is YAML, too) with its values or its bytes changed."""
    if random.random() < 0.3:
        return mutate_bytes(data, random)
    return json.dumps(mutate_document(json.loads(data), random)).encode()


def mutate_safetensors(data: bytes, random: Random) -> bytes:
    """Return a safetensors file with its length, its header or its bytes changed."""
    (length,) = struct.unpack("<Q", data[:8])
    header, values = data[8 : 8 + length], data[8 + length :]
    if random.random() < 0.1:
        return mutate_bytes(data, random)
    header = mutate_json(header, random)
    length = len(header) if random.random() < 0.9 else random.choice((0, 7, 2**40, 2**64 - 1))
    return struct.pack("<Q", length) + header + values


def _holders(value: Any) -> Any:
    """Yield every mapping and list that has something in it, with its keys or positions."""
    if isinstance(value, dict | list) and value:
        yield value, list(value) if isinstance(value, dict) else range(len(value))
        for part in value.values() if isinstance(value, dict) else value:
            yield from _holders(part)


Mutator = Callable[[bytes, Random], bytes]
