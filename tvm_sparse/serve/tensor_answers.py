"""Raw tensors in, raw tensors out."""

from __future__ import annotations

from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.inputs import DEFAULTS
from tvm_sparse.serve.queued_model import QueuedModel
from tvm_sparse.serve.request import Request
from tvm_sparse.serve.signature import Signature
from tvm_sparse.serve.tensors import DATATYPES, Tensor, TensorPlace, of_numbers

PLATFORM = "tvm_sparse"


def signature_of(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Signature:
    """Return what a build takes and returns: -1 is what a request decides, within its limits."""
    return Signature(PLATFORM, tuple(map(_place, inputs)), tuple(map(_place, outputs)))


def answer_tensors(model: QueuedModel, request: Request) -> dict[str, Tensor]:
    """Return the outputs of a build.

    Raises
    ------
    InputError
        A shape is beyond its limits, or an id none of its vocabulary.
    """
    outputs = model.run(**{name: tensor.values for name, tensor in request.inputs.items()})
    return {name: of_numbers(value) for name, value in outputs.items()}


def _place(spec: TensorSpec) -> TensorPlace:
    shape = spec.shape
    if spec.is_open:
        shape = tuple(-1 if axis else n for n, axis in zip(shape, spec.axes, strict=True))
    return TensorPlace(spec.name, DATATYPES[spec.dtype], shape, spec.name in DEFAULTS)
