from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tvm_sparse.errors import ArtifactError, BuildError
from tvm_sparse.records.read import check_record, check_types, parse_json, read_json, read_record
from tvm_sparse.records.write import write_json

pytestmark = pytest.mark.unit


@dataclass(frozen=True)
class File:
    size_bytes: int
    shares: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Example:
    schema_version: Literal[3] = field(default=3, kw_only=True)
    name: str
    files: dict[str, File]
    shape: tuple[tuple[int, int], ...] = ()
    kind: Literal["dense", "sparse"] = "dense"
    anything: Any = None


EXAMPLE = Example("x", {"model.so": File(5, {"a": 1.0, "b": None})}, ((1, 2),), anything=[{"n": 1}])


def document(**changes: Any) -> dict[str, Any]:
    return {**json.loads(json.dumps(asdict(EXAMPLE))), **changes}


def fault(values: Any) -> str:
    with pytest.raises(ArtifactError) as caught:
        check_record(values, Example, "a.json", ArtifactError, "make it again")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("a.json")
    assert message.endswith(": make it again")
    return message.removeprefix("a.json").removesuffix(": make it again")


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, EXAMPLE)
    assert next(iter(json.loads(path.read_text()))) == "schema_version"
    assert read_record(path, Example, ArtifactError, "") == EXAMPLE


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": 1}, ": name: Expected str, got int"),
        ({"name": None}, ": name: Expected str, got null"),
        ({"kind": "sparce"}, ": kind: Invalid enum value 'sparce'"),
        ({"shape": [[1, 2], [1, 2, 3]]}, ": shape[1]: Expected array of length 2, got 3"),
        ({"shape": [[1, True]]}, ": shape[0][1]: Expected int, got bool"),
        ({"files": []}, ": files: Expected object, got array"),
        (
            {"files": {"a": {"size_bytes": 1, "shares": {}}, "model.so": {"size_bytes": "1"}}},
            ": files.model.so.size_bytes: Expected int, got str",
        ),
        (
            {"files": {"model.so": {"size_bytes": 1, "shares": {"a": None, "b.c": "1"}}}},
            ": files.model.so.shares.b.c: Expected float | null, got str",
        ),
        ({"files": {"": None}}, ": files.: Expected object, got null"),
        ({"files": {"a": {"size_bytes": 1}}}, ": files.a.shares: field is missing"),
        ({"files": {"a": {"size_bytes": 1, "shares": {}, "s": 0}}}, ": files.a.s: unknown field"),
        ({"surprise": 1}, ": surprise: unknown field"),
        ({"schema_version": 2}, " has schema version 2, 3 is needed"),
        ({"schema_version": None}, " has schema version None, 3 is needed"),
    ],
)
def test_the_file_and_the_field_are_named(changes: dict[str, Any], message: str) -> None:
    assert fault(document(**changes)) == message


def test_integers_of_more_than_64_bits_are_refused() -> None:
    for number in (10**400, 1 << 63, -(1 << 63) - 1):
        with pytest.raises(ArtifactError, match="a number in it has more than 64 bits"):
            parse_json(f'{{"a": [{number}]}}', "a.json", ArtifactError)
    text = '{"a": 9223372036854775807, "b": 0.12345678901234567890123, "c": "12345678901234567890"}'
    assert parse_json(text, "a.json", ArtifactError)["a"] == 2**63 - 1


@dataclass(frozen=True)
class Ratio:
    over: float
    under: float

    def __post_init__(self) -> None:
        if self.over / self.under < 0:
            raise BuildError(f"{self.over} / {self.under} given: it must be 0 or more")


@pytest.mark.parametrize(
    ("over", "under", "said"),
    [(-1.0, 1.0, "-1.0 / 1.0 given"), (1.0, 0.0, "float division by zero")],
)
def test_what_a_dataclass_says_of_its_values(over: float, under: float, said: str) -> None:
    with pytest.raises(ArtifactError, match=f"^a.json: {said}"):
        check_types({"over": over, "under": under}, Ratio, "a.json", ArtifactError)


@pytest.mark.parametrize("name", document())
def test_every_field_is_needed(name: str) -> None:
    values = document()
    del values[name]
    assert re.search(
        f"^: ({name}: field is missing|Object missing required field {name})$|version None, 3",
        fault(values),
    )


@pytest.mark.parametrize("values", [[], "x", 1, None, {}])
def test_what_is_no_record_at_all(values: Any) -> None:
    assert fault(values) == " has schema version None, 3 is needed"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Input data was truncated"),
        ("{", "Input data was truncated"),
        ("[" * 100_000 + "]" * 100_000, "it is nested too deeply"),
        ('{"a":' * 100_000, "it is nested too deeply"),
        ("NaN", "JSON is malformed"),
        ("[-Infinity]", "JSON is malformed"),
        ("1e999", "Number out of range"),
        ("9" * 5000, "Integer value out of range"),
    ],
)
def test_what_is_no_json(text: str | bytes, reason: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(f"a.json is not valid JSON ({reason}")):
        parse_json(text, "a.json", ArtifactError)


def test_bytes_that_are_no_text() -> None:
    # In whose words depends on the version of the reader.
    with pytest.raises(ArtifactError, match=r"^a\.json is not valid JSON \(.*(?i:utf-8)"):
        parse_json(b'"\xff"', "a.json", ArtifactError)


def test_numbers_too_large_for_their_field() -> None:
    values = document(files={"a": {"size_bytes": 1, "shares": {"b": 10**400}}})
    assert fault(values) == ": files.a.shares.b: Number out of range"


def test_any_nesting_that_can_be_parsed_can_be_refused() -> None:
    nested: Any = 1
    for _ in range(900):
        nested = [nested]
    assert fault(document(anything=nested, name=1)) == ": name: Expected str, got int"


def test_files_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(ArtifactError, match=f"^{path} cannot be read: "):
            read_json(path, ArtifactError)
    monkeypatch.setattr("tvm_sparse.records.read._MOST_BYTES", 2 << 20)
    (tmp_path / "large.json").write_text(" " * (3 << 20))
    with pytest.raises(ArtifactError, match=r"large\.json is larger than 2 MB: export it again"):
        read_json(tmp_path / "large.json", ArtifactError, "export it again")
