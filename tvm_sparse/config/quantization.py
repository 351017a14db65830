"""How products are rounded to 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from tvm_sparse.config.spec import Spec, require, require_whole
from tvm_sparse.errors import check_word

QuantizeScheme = Literal["int8", "int8-fast"]
#: Calibration text that comes with this package.
BUILT_IN = "built-in"


@dataclass(frozen=True)
class QuantizationSpec(Spec):
    """How products are rounded to 8 bits.

    Parameters
    ----------
    scheme : {"int8", "int8-fast"}
        `int8` computes what integers give, to the bit; `int8-fast` leaves weights fewer steps where
        that lets a machine add up faster.
    calibration : str or None
        File with one passage a line, or `built-in`, by which inputs are smoothed; None for none.
    samples : int
        Passages to use, spread over the file.
    smoothing : float
        Which part of a feature's range goes into the weights, 0..1, on a logarithmic scale.
    max_error : float or None
        A layer whose outputs are off by more, relative in L2 norm, stays float32; None keeps none.
    rescale : bool
        Whether layers of weights that come quantised are rounded anew where their rows are too
        fine for the sums of a machine, instead of keeping integers of 16 bits or float32.
    """

    scheme: QuantizeScheme = "int8"
    calibration: str | None = None
    samples: int = 64
    smoothing: float = 0.5
    max_error: float | None = None
    rescale: bool = False

    def __post_init__(self) -> None:
        check_word("quantize", self.scheme, get_args(QuantizeScheme))
        require_whole("samples", self.samples)
        require(
            0.0 <= self.smoothing <= 1.0,
            f"smoothing {self.smoothing:g} given: it is a fraction between 0 and 1",
        )
        require(
            self.max_error is None or 0.0 < self.max_error <= 1.0,
            f"int8-error {self.max_error or 0:g} given: it is a fraction of a layer's outputs, "
            "over 0 and at most 1, for example 0.05",
        )
