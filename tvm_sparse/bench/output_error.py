"""How far what a build computes is from what the float32 weights give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class OutputError:
    """How far an output is from that of the dense build, on the inputs that were measured.

    Attributes
    ----------
    relative_l2 : float
        L2 norm of the difference over that of the dense build's output, 0..1 and more.
    cosine : float
        Mean over all vectors of the last axis, such as the hidden states of a token, of their
        cosine with the dense build's.
    """

    relative_l2: float
    cosine: float


def output_errors(found: Arrays, wanted: Arrays, inputs: Arrays) -> dict[str, OutputError]:
    """Return the error of every floating-point output, by name.

    Where an output has a vector for each token, those of padding do not count.

    Parameters
    ----------
    found, wanted : mapping of str to numpy.ndarray
        Outputs of a build, and of the dense one.
    inputs : mapping of str to numpy.ndarray
        What both were given.
    """
    mask = inputs.get("attention_mask")
    errors = {}
    for name, reference in wanted.items():
        if not np.issubdtype(reference.dtype, np.floating) or not reference.size:
            continue
        both = [values.astype(np.float64) for values in (found[name], reference)]
        if mask is not None and reference.shape[:-1] == mask.shape:
            both = [values[mask > 0] for values in both]
        errors[name] = _error(*(values.reshape(-1, values.shape[-1]) for values in both))
    return errors


def _error(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> OutputError:
    size = float(np.linalg.norm(wanted))
    gap = float(np.linalg.norm(found - wanted))
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(wanted, axis=1)
    products = (found * wanted).sum(axis=1)
    # Two vectors of zeros are the same, one of them and another are as far apart as can be.
    same = (found == wanted).all(axis=1).astype(np.float64)
    cosines = np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1.0), same)
    relative = gap / size if size else float(gap > 0)
    return OutputError(relative, float(np.clip(cosines.mean(), -1.0, 1.0)))
