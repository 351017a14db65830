"""TVM's virtual machine, as a library holds it."""

from __future__ import annotations

from typing import Any

from tvm_sparse.errors import ArtifactError
from tvm_sparse.runtime.metadata import LIBRARY_FILE
from tvm_sparse.runtime.tvm_runtime import first_line

_DEVICE_CPU, _DEVICE_INDEX, _POOLED_ALLOCATOR = 1, 0, 2


def new_machine(module: Any) -> Any:
    """Return a virtual machine of a library that TVM has loaded, ready to run.

    Raises
    ------
    ArtifactError
        If the library holds none that TVM's runtime can start.
    """
    try:
        machine = module["vm_load_executable"]()
        machine["vm_initialization"](_DEVICE_CPU, _DEVICE_INDEX, _POOLED_ALLOCATOR)
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{LIBRARY_FILE} holds no model that TVM's runtime can start "
            f"({first_line(error)}): export the model again"
        ) from None
    return machine


def check_arity(machine: Any, entry: str, inputs: int, weights: int) -> None:
    """Refuse a function that takes another number of inputs and weights than there are.

    Raises
    ------
    ArtifactError
        If it does, or there is no function of that name.
    """
    try:
        arity = int(machine["get_function_arity"](entry))
    except (RuntimeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{LIBRARY_FILE} has no function {entry!r} ({first_line(error)}): "
            "export the model again"
        ) from None
    if arity != inputs + weights:
        raise ArtifactError(
            f"{LIBRARY_FILE} takes {arity} tensors, there are {inputs} inputs and "
            f"{weights} weights: the artifact is damaged, export it again"
        )
