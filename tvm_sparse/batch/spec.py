"""What a job is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tvm_sparse.batch.outputs import Format


@dataclass(frozen=True)
class BatchSpec:
    """A job.

    Attributes
    ----------
    inputs : tuple of str
        Files, directories and patterns.
    output : str
        The directory of what is written.
    artifact : str
        The build's directory.
    task : str or None
        What to ask; None for what the model is for.
    column, pair_column : str, str or None
        The columns with the text, and with the second text of pairs.
    options : dict
        Of the task, see `Predictor`.
    format : {"jsonl", "parquet"}
        Of the rows that are written.
    keep_order : bool
        Whether to write one file of rows, in the order of the input.
    truncate : bool
        Whether to cut texts that are longer than the build takes.
    resume : bool
        Whether to go on with a job that was ended.
    address : str or None
        Of a Ray cluster; None for this machine alone.
    use_ray : bool
        Whether to use Ray at all.
    actors : int or None
        How many; None for as many as there is room for.
    threads_per_actor : int or None
        Cores of each; None for one, without Ray for all.
    parts : int or None
        Into how many parts to cut the input, about; None chooses.
    price_per_core_hour : float or None
        For the record.
    """

    inputs: tuple[str, ...]
    output: str
    artifact: str
    task: str | None = None
    column: str = "text"
    pair_column: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    format: Format = "jsonl"
    keep_order: bool = False
    truncate: bool = True
    resume: bool = False
    address: str | None = None
    use_ray: bool = True
    actors: int | None = None
    threads_per_actor: int | None = None
    parts: int | None = None
    price_per_core_hour: float | None = None
