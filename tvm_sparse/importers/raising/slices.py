"""A slice of features that were split before is a slice of all of them, one of parts is a part."""

from __future__ import annotations

from tvm import relax

from tvm_sparse.importers.raising.dataflow import Dataflow, Emit, Expr
from tvm_sparse.ir.dims import dim, product
from tvm_sparse.ir.expressions import op_name, tensor_shape


def slice_features(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return a reshape of a slice if `call` is a slice of a reshape (..., F) to (..., n, ...).

    The axis that is cut is the first of those that the last one was split into, so that what is
    taken lies side by side. A product that computes queries, keys and values at once is cut so.
    """
    if op_name(call) != "relax.strided_slice":
        return None
    split = flow.match(call.args[0], "relax.reshape")
    cuts = [tuple(dim(one) for one in part.fields) for part in call.args[1:]]
    if split is None or any(len(cut) != 1 or not isinstance(cut[0], int) for cut in cuts):
        return None
    (axis,), (begin,), (end,), *strides = cuts
    source, shape = flow.resolve(split.args[0]), tensor_shape(split)
    lead, features = tensor_shape(source)[:-1], tensor_shape(source)[-1]
    place = int(axis) % len(shape)
    if strides not in ([], [(1,)]) or not isinstance(features, int) or len(shape) - 1 == place:
        return None
    if shape[:place] != lead or product(shape[place:]) != features:
        return None
    inner = product(shape[place + 1 :])
    cut = relax.op.strided_slice(source, [len(lead)], [begin * inner], [end * inner])
    return relax.op.reshape(emit(cut), tensor_shape(call))


def take_joined_part(flow: Dataflow, call: relax.Call, emit: Emit) -> Expr | None:
    """Return what was joined with others if `call` is the slice that holds just that.

    Real and imaginary parts are joined so, and only the real ones read.
    """
    if op_name(call) != "relax.strided_slice":
        return None
    joined = flow.match(call.args[0], "relax.concat")
    cuts = [tuple(dim(one) for one in part.fields) for part in call.args[1:]]
    if joined is None or any(len(cut) != 1 for cut in cuts):
        return None
    (axis,), (begin,), (end,), *strides = cuts
    rank = len(tensor_shape(call))
    if strides not in ([], [(1,)]) or int(axis) % rank != int(joined.attrs.axis) % rank:
        return None
    start = 0
    for part in joined.args[0].fields:
        stop = start + tensor_shape(part)[int(axis)]
        if (start, stop) == (begin, end):
            widened = flow.match(part, "relax.expand_dims")
            part = part if widened is None else widened.args[0]
            return relax.op.reshape(flow.resolve(part), tensor_shape(call))
        start = stop
    return None
