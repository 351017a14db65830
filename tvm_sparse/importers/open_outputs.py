"""What the outputs of an open model are: tensors of any batch and length up to the limits."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import relax

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import FrontendError
from tvm_sparse.ir.dims import axes_of, evaluate
from tvm_sparse.ir.expressions import tensor_shape
from tvm_sparse.ir.functions import results
from tvm_sparse.model.facts import TensorSpec


def open_outputs(
    main: relax.Function, names: Sequence[str], spec: ModelSpec
) -> tuple[TensorSpec, ...]:
    """Return the outputs of an open model as its function says them.

    Raises
    ------
    FrontendError
        An extent is neither a number nor the batch or the length.
    """
    outputs = []
    for name, value in zip(names, results(main), strict=True):
        shape = tensor_shape(value)
        try:
            axes = axes_of(shape)
        except ValueError as error:
            raise FrontendError(
                f"output {name} has {error}: give one batch and one length, "
                "--batch N --seq-len N, not ranges"
            ) from error
        largest = tuple(evaluate(extent, spec.batch, spec.seq_len) for extent in shape)
        outputs.append(TensorSpec(name, largest, str(value.ty.dtype), axes=axes))
    return tuple(outputs)
