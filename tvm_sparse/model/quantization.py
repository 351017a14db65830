"""What is known of a model's layers before they are rounded to 8 bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.config.quantization import QuantizationSpec


@dataclass(frozen=True)
class Quantization:
    """How the layers of a model are rounded, by canonical name.

    Attributes
    ----------
    spec : QuantizationSpec
        What was asked for.
    factors : mapping of str to ndarray
        What the inputs (K,) of a layer are multiplied by, and its weights divided, beforehand.
    notes : mapping of str to str
        Of weights that come quantised, whether their integers are as they were.
    errors : mapping of str to float
        By how much outputs are off, relative in L2 norm, on the inputs that were looked at.
    kept : mapping of str to str
        The layers that stay float32, and why.
    wide : mapping of str to str
        The layers whose integers come with the checkpoint and need sums with more room, and why.
    """

    spec: QuantizationSpec = field(default_factory=QuantizationSpec)
    factors: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    notes: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    kept: Mapping[str, str] = field(default_factory=dict)
    wide: Mapping[str, str] = field(default_factory=dict)
