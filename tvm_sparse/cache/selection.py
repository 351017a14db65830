"""Which entries of a cache are to go: those that are old, or too much."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from tvm_sparse.cache.store import CacheEntry
from tvm_sparse.errors import ConfigError

_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
#: More digits are typing mistakes.
_AMOUNT = r"(\d{1,6}(?:\.\d{1,3})?) *"


def parse_age(text: str) -> timedelta:
    """Return an age written as 90m, 12h, 30d or 4w.

    Raises
    ------
    ConfigError
        It is written otherwise.
    """
    match = re.fullmatch(f"{_AMOUNT}([{''.join(_AGE_UNITS)}])", text.strip())
    if match is None:
        raise ConfigError(f"age {text!r} given: write 90m, 12h, 30d or 4w, for example")
    return timedelta(**{_AGE_UNITS[match[2]]: float(match[1])})


def parse_size(text: str) -> int:
    """Return the bytes of a size written as 500MB or 2.5 GB, in decimal units.

    Raises
    ------
    ConfigError
        It is written otherwise.
    """
    match = re.fullmatch(f"{_AMOUNT}({'|'.join(_SIZE_UNITS)})", text.strip(), re.IGNORECASE)
    if match is None:
        raise ConfigError(f"size {text!r} given: write 500MB or 2.5GB, for example")
    (factor,) = (f for unit, f in _SIZE_UNITS.items() if unit.lower() == match[2].lower())
    return round(float(match[1]) * factor)


def older_than(entries: Sequence[CacheEntry], age: timedelta, now: datetime) -> list[CacheEntry]:
    """Return the entries made that long ago or before; what does not say when counts as old."""
    return [entry for entry in entries if now - _created(entry) >= age]


def beyond_size(entries: Sequence[CacheEntry], most_bytes: int) -> list[CacheEntry]:
    """Return the oldest entries without which the others take no more than `most_bytes`."""
    left = sum(entry.size_bytes for entry in entries)
    doomed = []
    for entry in sorted(entries, key=_created):
        if left <= most_bytes:
            break
        left -= entry.size_bytes
        doomed.append(entry)
    return doomed


def _created(entry: CacheEntry) -> datetime:
    try:
        found = datetime.fromisoformat(str(entry.manifest.get("created")))
    except ValueError:
        return datetime.min.replace(tzinfo=timezone.utc)
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
