"""The program of an archive: ATen nodes with their arguments as Python values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import msgspec

from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.records.read import check_types
from tvm_sparse.sources.pt2_archive import DTYPES, Pt2Archive, TensorMeta, static

#: Kinds of arguments that say where a tensor lies, which is always here.
_PLACES = ("as_device", "as_layout", "as_memory_format")
_ATEN = "torch.ops.aten."
#: Nodes that only check: what they check holds for static shapes.
_CHECKS = ("_assert", "sym_constrain_range")


class _Argument(TypedDict):
    name: str
    arg: dict[str, Any]


class _Node(TypedDict):
    target: str
    inputs: list[_Argument]
    outputs: list[dict[str, Any]]


class _Graph(TypedDict):
    nodes: list[_Node]
    tensor_values: dict[str, TensorMeta]


class _Signature(TypedDict):
    input_specs: list[dict[str, Any]]
    output_specs: list[dict[str, Any]]


class _GraphModule(TypedDict):
    graph: _Graph
    signature: _Signature
    module_call_graph: list[dict[str, Any]]


@dataclass(frozen=True)
class Ref:
    """A tensor that another node gives, or an input of the program."""

    name: str


@dataclass(frozen=True)
class AtenNode:
    """A call of an ATen operator.

    Attributes
    ----------
    op : str
        Its name with the overload: `add.Tensor`.
    arguments : dict of str to Any
        By the names of PyTorch's schema: `Ref`, number, text, dtype, None, or a list of these.
        `self` and `input` are `x`.
    outputs : tuple of str
        What its results are called.
    shape : tuple of int
        Of the first result.
    dtype : str
        numpy's name of PyTorch's, of the first result; empty if that is no tensor.
    """

    op: str
    arguments: Mapping[str, Any]
    outputs: tuple[str, ...]
    shape: tuple[int, ...] = ()
    dtype: str = ""

    @property
    def name(self) -> str:
        """What the program calls its first result."""
        return self.outputs[0] if self.outputs else "(nothing)"

    def error(self, message: str) -> FrontendError:
        """Return an error that names this node and says what it needs."""
        return FrontendError(f"node {self.name} ({self.op}): {message}")


@dataclass(frozen=True)
class Program:
    """What an archive computes.

    Attributes
    ----------
    nodes : list of AtenNode
        In an order in which they can be computed.
    inputs, outputs : tuple of str
        Names in the graph, in positional order.
    shapes, dtypes : dict
        Of the inputs.
    parameters, tensors : dict of str to str
        Names in the graph to those of parameters, and of buffers and constants.
    output_names : tuple of str
        What the model calls its outputs, as far as the archive says.
    """

    nodes: list[AtenNode]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    parameters: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    output_names: tuple[str, ...] = ()


def read_program(archive: Pt2Archive) -> Program:
    """Read an archive's program.

    Raises
    ------
    CheckpointError
        It is not of PyTorch's schema.
    FrontendError
        It changes its buffers, or takes or returns something else than tensors.
    """
    document = archive.program.get("graph_module")
    origin = f"{archive.path}: the program"
    module: _GraphModule = check_types(document, _GraphModule, origin, CheckpointError)
    graph, signature = module["graph"], module["signature"]
    inputs: list[str] = []
    parameters, tensors = {}, {}
    try:
        for spec in signature["input_specs"]:
            ((kind, value),) = spec.items()
            if kind == "parameter":
                parameters[value["arg"]["name"]] = value["parameter_name"]
            elif kind in ("buffer", "tensor_constant"):
                tensors[value["arg"]["name"]] = value[f"{kind}_name"]
            elif kind == "user_input" and "as_tensor" in value["arg"]:
                inputs.append(value["arg"]["as_tensor"]["name"])
            elif kind not in ("user_input", "constant_input", "token"):
                raise FrontendError(f"{origin} takes a {kind}, which is not imported")
        outputs = list(_outputs(signature, origin))
        meta = graph["tensor_values"]
        nodes = [_node(node, meta) for node in graph["nodes"]]
        shapes = {name: static(meta[name]["sizes"], name) for name in inputs}
        dtypes = {name: DTYPES[meta[name]["dtype"]] for name in inputs}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{origin} is not of PyTorch's schema: {error!r}") from None
    names = _output_names(module["module_call_graph"], len(outputs))
    kept = [node for node in nodes if not node.op.startswith(_CHECKS)]
    return Program(kept, tuple(inputs), tuple(outputs), shapes, dtypes, parameters, tensors, names)


def _outputs(signature: _Signature, origin: str) -> Iterator[str]:
    for spec in signature["output_specs"]:
        ((kind, value),) = spec.items()
        argument = (value or {}).get("arg", {})
        if kind != "user_output" or "as_tensor" not in argument:
            what = "changes a buffer" if kind == "buffer_mutation" else f"returns a {kind}"
            raise FrontendError(
                f"{origin} {what}, which is not imported: only tensors are returned"
            )
        yield argument["as_tensor"]["name"]


def _node(node: _Node, meta: Mapping[str, TensorMeta]) -> AtenNode:
    names: list[str] = []
    for output in node["outputs"]:
        ((kind, value),) = output.items()
        names += [v["name"] for v in value] if kind == "as_tensors" else [value.get("name", "")]
    first = meta.get(names[0]) if names else None
    arguments = {
        {"self": "x", "input": "x"}.get(one["name"], one["name"]): _value(one["arg"])
        for one in node["inputs"]
        if not set(one["arg"]).intersection(_PLACES)
    }
    return AtenNode(
        node["target"].removeprefix(_ATEN),
        arguments,
        tuple(names),
        static(first["sizes"], names[0]) if first else (),
        DTYPES.get(first["dtype"], "unknown") if first else "",
    )


def _value(argument: Mapping[str, Any]) -> Any:
    """Return an argument as a Python value; what is no tensor, number or text stays a mapping."""
    ((kind, value),) = argument.items()
    if kind == "as_tensor":
        return Ref(value["name"])
    if kind == "as_tensors":
        return [Ref(one["name"]) for one in value]
    if kind in ("as_optional_tensors", "as_optional_tensor"):
        return [_value(one) for one in value] if isinstance(value, list) else _value(value)
    if kind == "as_none":
        return None
    if kind == "as_scalar_type":
        return DTYPES.get(value, f"number {value}")
    if kind == "as_float":
        return float(value)  # infinities are texts
    if kind == "as_floats":
        return [float(one) for one in value]
    if kind == "as_sym_int" and "as_int" in value:
        return int(value["as_int"])
    if kind == "as_sym_ints" and all("as_int" in one for one in value):
        return [int(one["as_int"]) for one in value]
    if kind in ("as_int", "as_ints", "as_bool", "as_bools", "as_string", "as_strings"):
        return value
    return dict(argument)


def _output_names(calls: list[dict[str, Any]], count: int) -> tuple[str, ...]:
    """Return the keys of the mapping that the program returns, numbers where it is none."""
    try:
        spec = msgspec.json.decode(calls[0]["signature"]["out_spec"])
        names = msgspec.json.decode(spec[1]["context"])
        names = names[0] if names and isinstance(names[0], list) else names or []
    except (LookupError, TypeError, msgspec.DecodeError):
        names = []
    if len(names) == len(set(map(str, names))) == count and all(map(str, names)):
        return tuple(map(str, names))
    return tuple(f"output_{number}" for number in range(count))
