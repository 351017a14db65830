from __future__ import annotations

from pathlib import Path

import pytest

from tvm_sparse.errors import ConfigError
from tvm_sparse.records.yaml_file import read_yaml

pytestmark = pytest.mark.unit


def test_plain_values_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "a: [1, 0.5, .inf, yes, null]\nb: {c: 4x1}\nday: 2020-13-45\nrange: 1:32\n'é': x\n"
    )
    assert read_yaml(path, ConfigError) == {
        "a": [1, 0.5, float("inf"), True, None],
        "b": {"c": "4x1"},
        "day": "2020-13-45",
        "range": "1:32",
        "é": "x",
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply in line 1"),
        ("{a: " * 5000, "nested too deeply in line 1"),
        ("- " * 5000 + "1", "nested too deeply in line 1"),
        ("a: &x [1]\nb: [*x, *x]", "the alias in line 2 is not read"),
        ("a: !!python/object:os.system x", "the tag in line 1 is not read"),
        ("a: !!timestamp x", "the tag in line 1 is not read"),
        ("a: 0x" + "f" * 5000, "more than 64 bits"),
        ("a: " + "9" * 5000, "a number in it is too long"),
        ("a: 0b_", "a number in it is too long"),
        ("a: {[1]: 2}", "found unhashable key in line 1"),
        ("a: [", "expected the node content, but found '<stream end>' in line 1"),
        ("a: \0", "special characters are not allowed"),
        ("a" * (1 << 20) + "a", "larger than 1 MB"),
    ],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)
def test_what_is_not_plain_is_refused(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path, ConfigError)
    assert str(caught.value).startswith(str(path))
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_other_encodings_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="it is not in UTF-8"):
        read_yaml(tmp_path / "a.yaml", ConfigError)
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_yaml(tmp_path / "b.yaml", ConfigError)
