"""What every importer's module is, checked after every import.

Whatever framework a model comes from, the passes meet one form of it; see decision record 0031.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import tvm_ffi
from tvm import relax

from tvm_sparse.errors import PassError
from tvm_sparse.importers.importer import Imported
from tvm_sparse.importers.raising.pipeline import raise_patterns
from tvm_sparse.ir.dims import dims_of
from tvm_sparse.ir.expressions import op_name, tensor_shape
from tvm_sparse.ir.functions import NOMINAL, bindings, parameters, places_of, results
from tvm_sparse.model.facts import TensorSpec

#: Of everything between inputs, whose ids are int32, and outputs. Relax's argmax counts in 64 bits.
_DTYPES = ("float32", "int32", "bool", "int64")
_INPUT_DTYPES = _DTYPES[:3]
#: Parts of a weight's name, which begin at the model; an index into a list is `layer_._0`.
_NAME = re.compile(r"[A-Za-z_][\w.]*(/[\w.]+)*")
#: Operators that bring another function along, which no pass would look into.
_CALLS = ("relax.call_tir", "relax.call_dps_packed", "relax.call_pure_packed", "relax.call_inplace")


def verify(imported: Imported, importer: str) -> None:
    """Refuse a module that another importer would not have made.

    Parameters
    ----------
    imported : Imported
        What it made of a model.
    importer : str
        Its name, for the message.

    Raises
    ------
    PassError
        With everything that breaks the contract.
    """
    faults = list(_faults(imported))
    if faults:
        raise PassError(f"the importer {importer} breaks the contract: {'; '.join(faults)}")


def _faults(imported: Imported) -> Iterator[str]:
    functions = {name.name_hint: func for name, func in imported.mod.functions_items()}
    main = functions.get("main")
    if list(functions) != ["main"] or not isinstance(main, relax.Function):
        yield f"functions {', '.join(functions) or 'none'}, main alone is needed"
        return
    blocks = main.body.blocks
    if len(blocks) != 1 or not isinstance(blocks[0], relax.DataflowBlock):
        yield f"{len(blocks)} blocks, one dataflow block is needed"
        return
    if "num_input" not in main.attrs or not {"micro_batches", NOMINAL} & set(main.attrs.keys()):
        yield "num_input and one of micro_batches and nominal are needed among its attributes"
        return
    yield from _signature_faults(imported, main)
    yield from _weight_faults(imported, main)
    yield from _value_faults(main)
    if not tvm_ffi.structural_equal(raise_patterns(imported.mod), imported.mod):
        yield "a pattern in it is not raised: importers.raising finds more"


def _signature_faults(imported: Imported, main: relax.Function) -> Iterator[str]:
    inputs, _ = parameters(main)
    if [var.name for var in inputs] != [spec.name for spec in imported.inputs]:
        yield f"inputs {', '.join(var.name for var in inputs)}, others than its signature has"
    for spec in imported.inputs:
        if spec.dtype not in _INPUT_DTYPES:
            yield f"input {spec.name} is of {spec.dtype}: {', '.join(_INPUT_DTYPES)} are taken"
    values = dict(zip(imported.inputs, inputs, strict=False))
    values |= dict(zip(imported.outputs, results(main), strict=False))
    batches = int(main.attrs["micro_batches"]) if "micro_batches" in main.attrs else 1
    for spec, value in values.items():
        if str(value.ty.dtype) != spec.dtype or not _fits(tensor_shape(value), spec, batches):
            yield f"{spec.name} is {value.ty}, its signature says {spec}"
    if len(results(main)) != len(imported.outputs):
        yield f"{len(results(main))} outputs, its signature has {len(imported.outputs)}"
    for specs, arrays in (
        (imported.inputs, imported.input_values),
        (imported.outputs, imported.output_values),
    ):
        if [spec.name for spec in specs] != list(arrays):
            yield f"reference values of {', '.join(arrays)}, in another order than its signature"


def _fits(shape: tuple[object, ...], spec: TensorSpec, micro_batches: int) -> bool:
    """Return whether a tensor of `main` is that of the signature, or its share of a batch."""
    wanted = dims_of(spec)
    part = (wanted[0] // micro_batches, *wanted[1:]) if micro_batches > 1 and wanted else wanted
    return tuple(shape) in (tuple(wanted), tuple(part))


def _weight_faults(imported: Imported, main: relax.Function) -> Iterator[str]:
    _, weights = parameters(main)
    names = [var.name for var in weights]
    if sorted(names) != sorted(imported.params):
        yield f"{len(names)} weights and {len(imported.params)} arrays of other names"
        return
    for var in weights:
        array = imported.params[var.name]
        if not _NAME.fullmatch(var.name):
            yield f"weight {var.name!r}: names are parts joined by /"
        if (tensor_shape(var), str(var.ty.dtype)) != (array.shape, str(array.dtype)):
            yield f"weight {var.name} is {var.ty}, its array {array.dtype}{array.shape}"
        if array.dtype == np.float32 and not np.isfinite(array).all():
            yield f"weight {var.name} has values that are not finite"
    unplaced = [n for n in names if imported.params[n].ndim > 1 and n not in places_of(main)]
    if unplaced:
        yield f"no place for weight {unplaced[0]}: a layer has a role"


def _value_faults(main: relax.Function) -> Iterator[str]:
    for binding in bindings(main):
        value = binding.value
        if not isinstance(value, relax.Call):
            continue
        name = op_name(value)
        if not name.startswith("relax.") or name in _CALLS:
            yield f"a call of {name or value.op}, which is no operator of Relax"
        elif hasattr(value.ty, "dtype") and str(value.ty.dtype) not in _DTYPES:
            yield f"{name} gives {value.ty}: values are {', '.join(_DTYPES)}"
