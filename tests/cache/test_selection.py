from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from tvm_sparse.cache.selection import beyond_size, older_than, parse_age, parse_size
from tvm_sparse.cache.store import CacheEntry
from tvm_sparse.errors import ConfigError

pytestmark = pytest.mark.unit

NOW = datetime(2026, 3, 31, 12, tzinfo=timezone.utc)


@pytest.fixture
def entries(tmp_path) -> list[CacheEntry]:
    """Made 3, 2 and 1 days ago, with a tenth, two and three kilobytes; and a damaged one."""
    found = []
    for days, size in ((2, 2000), (3, 100), (1, 3000), (None, 50)):
        path = tmp_path / f"{days}"
        path.mkdir()
        (path / "file").write_bytes(b"x" * size)
        created = {} if days is None else {"created": (NOW - timedelta(days=days)).isoformat()}
        found.append(CacheEntry("ir", f"{days}", path, created))
    return found


def keys(entries) -> list[str]:
    return [entry.key for entry in entries]


def test_the_old(entries) -> None:
    assert keys(older_than(entries, timedelta(days=2), NOW)) == ["2", "3", "None"]
    assert keys(older_than(entries, timedelta(days=9), NOW)) == ["None"]


@pytest.mark.parametrize(
    ("most", "gone"),
    [(6000, []), (5120, ["None"]), (5050, ["None", "3"]), (0, ["None", "3", "2", "1"])],
)
def test_the_oldest_go_until_the_others_fit(entries, most, gone) -> None:
    assert keys(beyond_size(entries, most)) == gone


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90m", timedelta(minutes=90)),
        ("1.5h", timedelta(hours=1.5)),
        ("30d", timedelta(days=30)),
        (" 4 w ", timedelta(weeks=4)),
    ],
)
def test_ages(text, age) -> None:
    assert parse_age(text) == age


@pytest.mark.parametrize(
    ("text", "size"), [("0B", 0), ("500MB", 500_000_000), ("2.5 gb", 2_500_000_000), ("1kB", 1000)]
)
def test_sizes(text, size) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "5", "d", "-1d", "1y", "1e9d", "9" * 5000 + "d", "nan d"])
def test_other_words_are_refused(text) -> None:
    with pytest.raises(ConfigError, match="write 90m"):
        parse_age(text)
    with pytest.raises(ConfigError, match="write 500MB"):
        parse_size(text)
