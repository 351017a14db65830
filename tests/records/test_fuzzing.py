"""Files that lie are taken or refused in one line; `scripts/fuzz.py` tries more of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzzing import TARGETS, faults, mutant

pytestmark = pytest.mark.unit

_MUTANTS = 100


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    for content in target.sound:
        (tmp_path / target.file).write_bytes(content)
        target.read(tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_files_that_lie_end_as_foreseen(name: str, tmp_path: Path) -> None:
    assert list(faults(name, 0, range(_MUTANTS), tmp_path)) == []


def test_a_number_makes_the_same_mutant_again() -> None:
    assert mutant("config", 1, 5) == mutant("config", 1, 5)
    assert len({mutant("config", 1, number) for number in range(20)}) > 15


def test_other_ends_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzzing._LONGEST_LINE", 20)
    found = list(faults("grid", 0, range(30), tmp_path))
    assert found
    assert {fault.what[:12] for fault in found} == {"a message of"}
