"""What a directory of outputs is of: so that a job that goes on is the one that was begun."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Literal

import msgspec

from tvm_sparse.batch.asking import Question
from tvm_sparse.batch.outputs import Outputs
from tvm_sparse.batch.parts import Part
from tvm_sparse.errors import BuildError, ConfigError, InputError
from tvm_sparse.records.read import check_types, parse_json
from tvm_sparse.records.write import json_text

MANIFEST_FILE = "job.json"


@dataclass(frozen=True)
class Manifest:
    """A job, as far as its answers depend on it.

    Attributes
    ----------
    artifact : str
        Checksum of the build's metadata.
    question : Question
        What every row is asked.
    truncate, format, keep_order : bool, str, bool
        How long texts are treated, and what is written.
    parts : list of Part
        The input.
    """

    artifact: str
    question: Question
    truncate: bool
    format: str
    keep_order: bool
    parts: list[Part]

    def facts(self) -> dict[str, str]:
        """Return what must be the same, by what people call it."""
        question = asdict(self.question)
        return {
            "--model": self.artifact,
            "--task": question["task"],
            "--column": str([question["column"], question["pair_column"]]),
            "options of the task": str(sorted(question["options"].items())),
            "--no-truncate": str(not self.truncate),
            "--format": self.format,
            "--keep-order": str(self.keep_order),
            "input or --parts": _digest(self.parts),
        }


@dataclass(frozen=True)
class _State:
    """What the file holds: the facts of a job, and how it ended, if it has."""

    schema_version: Literal[1]
    facts: dict[str, str]
    rows_out: int | None
    errors: int | None


@dataclass(frozen=True)
class Standing:
    """What is done of a job.

    Attributes
    ----------
    parts : frozenset of int
        The parts that are written.
    rows_out, errors : int
        Their rows, counted in the files, or when they were joined.
    finished : bool
        Whether there is nothing left to do.
    """

    parts: frozenset[int]
    rows_out: int
    errors: int
    finished: bool = False


def start_job(outputs: Outputs, manifest: Manifest, resume: bool) -> Standing:
    """Return what is done already of a job.

    Raises
    ------
    ConfigError
        Another job's files are there, or this one's and it should not go on.
    BuildError, InputError
        The directory cannot be written, or its file not be read.
    """
    there = outputs.prepare()
    content = outputs.read(MANIFEST_FILE)
    where, origin = outputs.directory, f"{outputs.directory}/{MANIFEST_FILE}"
    state: _State | None = None
    if content is not None:
        state = check_types(parse_json(content, origin, InputError), _State, origin, InputError)
    if not there and (state is None or state.rows_out is None):
        _write(outputs, manifest.facts())
        return Standing(frozenset(), 0, 0)
    if state is None:
        raise ConfigError(
            f"{where} holds {len(there)} parts and no {MANIFEST_FILE}: give another directory"
        )
    if not resume:
        raise ConfigError(f"{where} holds a job: give --resume to go on, or another directory")
    facts = manifest.facts()
    other = [name for name in facts if state.facts.get(name) != facts[name]]
    if other:
        raise ConfigError(
            f"--resume given, and {where} holds a job with another {', '.join(other)}: give what "
            "was given then, or another directory"
        )
    if state.rows_out is not None and state.errors is not None:
        outputs.remove_joined(manifest.keep_order)
        return Standing(frozenset(range(len(manifest.parts))), state.rows_out, state.errors, True)
    counts = [outputs.count(index) for index in there]
    return Standing(
        frozenset(there), sum(good for good, _ in counts), sum(bad for _, bad in counts)
    )


def finish_job(outputs: Outputs, manifest: Manifest, rows_out: int, errors: int) -> None:
    """Join what is to be joined, and remember how the job ended.

    Whenever it is stopped, it can be done again.
    """
    outputs.join_parts(manifest.keep_order)
    _write(outputs, manifest.facts(), rows_out, errors)
    outputs.remove_joined(manifest.keep_order)


def _write(
    outputs: Outputs, facts: dict[str, str], rows_out: int | None = None, errors: int | None = None
) -> None:
    text = json_text(_State(1, facts, rows_out, errors))
    try:
        outputs.write(MANIFEST_FILE, text.encode())
    except OSError as error:
        raise BuildError(f"{outputs.directory} cannot be written: {error}") from None


def _digest(parts: list[Part]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
