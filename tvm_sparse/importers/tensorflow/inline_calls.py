"""Calls of functions in a GraphDef are replaced by the nodes of the functions."""

from __future__ import annotations

from typing import Any

from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow

CALLS = ("PartitionedCall", "StatefulPartitionedCall")


def inline_calls(graph_def: Any) -> list[Any]:
    """Return the nodes of `graph_def` with function calls replaced by what they do.

    Keras wraps a grouped convolution in a function to compile it; such calls are left when a
    model is frozen without TensorFlow's optimizer. A node of a function is named
    `<call>/<node>`; the call itself becomes an IdentityN of its results.

    Parameters
    ----------
    graph_def : tensorflow.GraphDef
        Functions stand in its library; it stays as it is, and no node of its own is copied.
    """
    library = {function.signature.name: function for function in graph_def.library.function}
    return [inlined for node in graph_def.node for inlined in _expanded(node, library)]


def _expanded(node: Any, library: dict[str, Any]) -> list[Any]:
    """Return the node, or the nodes that replace a call."""
    name = node.attr["f"].func.name if node.op in CALLS else ""
    if name not in library:
        return [node]
    import_tensorflow()
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph_def

    function = library[name]
    body, flat_names = function_def_to_graph_def(function)
    operands = [source for source in node.input if not source.startswith("^")]
    arguments = {
        argument.name: operand
        for argument, operand in zip(function.signature.input_arg, operands, strict=True)
    }

    def outside(source: str) -> str:
        """Return what a tensor of the function is called in the graph."""
        control = "^" if source.startswith("^") else ""
        inner = source.removeprefix("^")
        argument = arguments.get(inner.split(":")[0])
        return argument if argument is not None else f"{control}{node.name}/{inner}"

    nodes = []
    for proto in body.node:
        if proto.name in arguments:
            continue
        inlined = type(node)()
        inlined.CopyFrom(proto)
        inlined.name = f"{node.name}/{proto.name}"
        del inlined.input[:]
        inlined.input.extend(outside(s) for s in proto.input)
        nodes += _expanded(inlined, library)
    results = [function.ret[argument.name] for argument in function.signature.output_arg]
    collected = type(node)(name=node.name, op="IdentityN")
    collected.input.extend(outside(flat_names.get(result, result)) for result in results)
    return [*nodes, collected]
