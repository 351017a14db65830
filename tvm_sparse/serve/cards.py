"""What the page shows of a model before it is asked anything."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tvm_sparse.errors import ArtifactError
from tvm_sparse.fidelity.record import EvaluationRecord
from tvm_sparse.records.read import read_record
from tvm_sparse.runtime.metadata import ArtifactMetadata
from tvm_sparse.tasks.registry import TASKS

#: A record of `tvm-sparse evaluate` in the artifact's directory.
EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True)
class Fidelity:
    """How close a model is to the one that it was made from.

    Attributes
    ----------
    value : float
        1 for equal.
    meaning : str
        What is measured.
    against : str
        The other model.
    texts : int
        On how many texts.
    """

    value: float
    meaning: str
    against: str
    texts: int


@dataclass(frozen=True)
class Card:
    """A model that is asked about texts.

    Attributes
    ----------
    name, task, path : str
        What it is called, what it is asked, and where.
    model, build, isa : str
        The model it was made from, `dense` or `sparse`, and the instruction set.
    threads : int
        Threads of a run.
    longest : int
        Tokens of the longest text that it reads whole.
    sparsity : float
        Share of zero blocks in the layers that run sparse.
    blocks : tuple of str
        Shapes of these blocks, outputs x inputs.
    weights_bytes : int
        Of all weights in memory.
    mask : str
        What stands for a word to be filled in; empty if there is no such token.
    fidelity : Fidelity or None
        If it was evaluated.
    fault : str
        Why that cannot be told, if there is a record.
    """

    name: str
    task: str
    path: str
    model: str
    build: str
    isa: str
    threads: int
    longest: int
    sparsity: float
    blocks: tuple[str, ...]
    weights_bytes: int
    mask: str
    fidelity: Fidelity | None = None
    fault: str = ""


def make_card(
    name: str, task: str, path: str, metadata: ArtifactMetadata, directory: Path, threads: int
) -> Card:
    """Return what is shown of a model.

    Parameters
    ----------
    name, task, path : str
        What it is called, what it is asked, and where.
    metadata : ArtifactMetadata
        Of its build.
    directory : path
        Of its build, where the record of an evaluation may lie.
    threads : int
        Threads of a run.
    """
    sparse = [one.block_shape for one in metadata.decisions if one.action == "sparse"]
    fidelity, fault = None, ""
    try:
        fidelity = _read_fidelity(directory / EVALUATION_FILE)
    except ArtifactError as error:  # it is served all the same
        fault = str(error)
    return Card(
        name=name,
        task=task,
        path=path,
        model=_shown_name(metadata.name),
        build=metadata.build,
        isa=metadata.isa,
        threads=threads,
        longest=metadata.inputs[0].shape[-1],
        sparsity=metadata.block_sparsity,
        blocks=tuple(f"{rows}x{columns}" for rows, columns in sorted(set(sparse))),
        weights_bytes=metadata.weights_bytes,
        mask=metadata.text.special_tokens.get("mask", "") if metadata.text else "",
        fidelity=fidelity,
        fault=fault,
    )


def _shown_name(model: str) -> str:
    """Return a model's name without the directories of where it was exported."""
    return Path(model).name if model.startswith(("/", ".", "~")) else model


def _read_fidelity(path: Path) -> Fidelity | None:
    """Return what an evaluation says in one number.

    Raises
    ------
    ArtifactError
        The file is none.
    """
    if not path.exists():
        return None
    record = read_record(path, EvaluationRecord, ArtifactError, "evaluate the model again")
    task = TASKS.get(record.task)
    judged = task.on_texts if task else None
    if judged is None or judged.measure not in record.measures:
        raise ArtifactError(f"{path} has no measure of a model for {record.task}")
    value = record.measures[judged.measure]
    return Fidelity(value, judged.meaning, record.reference.name, record.texts)
