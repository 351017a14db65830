"""What became of a part of the input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Done:
    """What became of a part.

    Attributes
    ----------
    index : int
        The part.
    worker : str
        Who did it: the machine and the process.
    rows_in, rows_out, errors : int
        Rows that were read, answered, and neither dropped nor answered.
    tokens, padding, cuts : int
        Tokens that were run, those computed besides, and inputs that were cut.
    seconds, model_s, load_s : float
        For all of it, for running the model alone, and for loading the build before the first.
    private_bytes, shared_bytes : int
        Memory that the process has alone, and its share of what it has with others.
    fault : str
        Why the job cannot go on, else empty.
    """

    index: int
    worker: str = ""
    rows_in: int = 0
    rows_out: int = 0
    errors: int = 0
    tokens: int = 0
    padding: int = 0
    cuts: int = 0
    seconds: float = 0.0
    model_s: float = 0.0
    load_s: float = 0.0
    private_bytes: int = 0
    shared_bytes: int = 0
    fault: str = ""
