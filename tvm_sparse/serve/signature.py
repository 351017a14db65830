"""What a model takes and returns, and whether a request fits it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from tvm_sparse.serve.refusal import wrong
from tvm_sparse.serve.tensors import Tensor, TensorPlace

#: Taken too, where the numbers fit.
WIDER = {"INT32": "INT64"}


@dataclass(frozen=True)
class Signature:
    """What a model takes and returns.

    Attributes
    ----------
    platform : str
        What makes the answers.
    inputs, outputs : tuple of TensorPlace
        By the names of the protocol.
    """

    platform: str
    inputs: tuple[TensorPlace, ...]
    outputs: tuple[TensorPlace, ...]

    @functools.cached_property
    def _inputs_by_name(self) -> dict[str, TensorPlace]:
        return {place.name: place for place in self.inputs}

    def check_inputs(self, model: str, inputs: Mapping[str, Tensor]) -> None:
        """Refuse inputs that the model does not have, and the lack of those it needs.

        Raises
        ------
        Refusal
            Saying which, and what is wanted.
        """
        known = self._inputs_by_name
        for name, tensor in inputs.items():
            place = known.get(name)
            if place is None:
                raise wrong(
                    f"unexpected inference input '{name[:100]}' for model '{model}': it takes "
                    f"{', '.join(known)}"
                )
            _check_input(model, place, tensor)
        missing = [p.name for p in self.inputs if not p.optional and p.name not in inputs]
        if missing:
            raise wrong(
                f"expected {len(known)} inputs but got {len(inputs)} inputs for model '{model}': "
                f"{', '.join(missing)} missing"
            )

    def check_outputs(self, model: str, outputs: Mapping[str, bool]) -> None:
        """Refuse to return what the model does not have.

        Raises
        ------
        Refusal
            Saying which.
        """
        known = [place.name for place in self.outputs]
        for name in outputs:
            if name not in known:
                raise wrong(
                    f"unexpected inference output '{name[:100]}' for model '{model}': it has "
                    f"{', '.join(known)}"
                )


def _check_input(model: str, place: TensorPlace, tensor: Tensor) -> None:
    """Refuse an input of another type or shape than its place has.

    Raises
    ------
    Refusal
        Saying what is wanted.
    """
    if tensor.datatype != place.datatype and tensor.datatype != WIDER.get(place.datatype):
        raise wrong(
            f"inference input '{place.name}' data-type is '{tensor.datatype}', model '{model}' "
            f"expects '{place.datatype}'"
        )
    if len(tensor.shape) != len(place.shape) or any(
        extent not in (-1, given) for given, extent in zip(tensor.shape, place.shape, strict=True)
    ):
        raise wrong(
            f"unexpected shape for input '{place.name}' for model '{model}': expected "
            f"{list(place.shape)}, got {list(tensor.shape)}"
        )
