"""A request of the Open Inference Protocol, however it came."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tvm_sparse.serve.tensors import Tensor


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a model.

    Attributes
    ----------
    inputs : dict of str to Tensor
        By name.
    outputs : dict of str to bool
        What to return, and whether in binary; nothing for everything.
    parameters : dict
        Options.
    id : str
        Returned with the answer.
    binary : bool
        Whether outputs that are not in `outputs` are returned in binary.
    """

    inputs: dict[str, Tensor]
    outputs: dict[str, bool]
    parameters: dict[str, Any]
    id: str = ""
    binary: bool = False

    @property
    def items(self) -> int:
        """Texts or sequences."""
        return max((one.shape[0] for one in self.inputs.values() if one.shape), default=1)

    @property
    def timeout_ms(self) -> int | None:
        """How long it may wait, if it says so: Triton's `timeout` is in microseconds."""
        given = self.parameters.get("timeout")
        return max(1, given // 1000) if type(given) is int and given > 0 else None
