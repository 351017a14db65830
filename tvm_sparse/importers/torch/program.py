"""The program of an archive: ATen nodes with their arguments as Python values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

import msgspec

from tvm_sparse.errors import CheckpointError, FrontendError
from tvm_sparse.importers.torch.extents import Extents, find_extents
from tvm_sparse.ir.dims import Dim
from tvm_sparse.records.read import check_types
from tvm_sparse.sources.pt2_archive import DTYPES, Pt2Archive, TensorMeta

#: Kinds of arguments that say where a tensor lies, which is always here.
_PLACES = ("as_device", "as_layout", "as_memory_format")
_ATEN = "torch.ops.aten."
#: Nodes that only check: what they check holds for fixed shapes, and for ranges that were exported.
_CHECKS = ("_assert", "sym_constrain_range")


class _Argument(TypedDict):
    name: str
    arg: dict[str, Any]


class _Node(TypedDict):
    target: str
    inputs: list[_Argument]
    outputs: list[dict[str, Any]]


class _Numbers(TypedDict, total=False):
    sym_int_values: dict[str, dict[str, Any]]


class _Graph(_Numbers):
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
        By the names of PyTorch's schema: `Ref`, number, extent, text, dtype, None, or a list of
        these. `self` and `input` are `x`.
    outputs : tuple of str
        What its results are called.
    shape : tuple of (int or PrimExpr)
        Of the first result.
    dtype : str
        numpy's name of PyTorch's, of the first result; empty if that is no tensor.
    """

    op: str
    arguments: Mapping[str, Any]
    outputs: tuple[str, ...]
    shape: tuple[Dim, ...] = ()
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
    shapes: dict[str, tuple[Dim, ...]]
    dtypes: dict[str, str]
    parameters: dict[str, str] = field(default_factory=dict)
    tensors: dict[str, str] = field(default_factory=dict)
    output_names: tuple[str, ...] = ()


def read_program(archive: Pt2Archive, shape: tuple[int, int], is_open: bool) -> Program:
    """Read an archive's program.

    Parameters
    ----------
    archive : Pt2Archive
        Of a program for one shape, or of one that leaves the batch and the length open.
    shape : (int, int)
        The batch and the length of its inputs, or the largest ones.
    is_open : bool
        Whether they are the largest.

    Raises
    ------
    CheckpointError
        It is not of PyTorch's schema.
    FrontendError
        It changes its buffers, takes or returns something else than tensors, or is not for such
        shapes.
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
        sizes = {name: meta[name]["sizes"] for name in inputs}
        ranges = archive.program.get("range_constraints", {})
        extents = find_extents(sizes, ranges, shape, is_open, str(archive.path))
        known = _Known(meta, extents, graph.get("sym_int_values", {}))
        nodes = [known.node(node) for node in graph["nodes"] if not known.is_extent(node)]
        shapes = {name: extents.shape(sizes[name]) for name in inputs}
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


class _Known:
    """What an archive says of its tensors and of its numbers."""

    def __init__(
        self,
        meta: Mapping[str, TensorMeta],
        extents: Extents,
        numbers: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._meta, self._extents, self._numbers = meta, extents, numbers

    def is_extent(self, node: _Node) -> bool:
        """Return whether a node computes an extent, of which the archive says what it is."""
        names = [output.get("as_sym_int", {}).get("as_name") for output in node["outputs"]]
        return bool(names) and all(name in self._numbers for name in names)

    def node(self, node: _Node) -> AtenNode:
        """Return a node."""
        names: list[str] = []
        for output in node["outputs"]:
            ((kind, value),) = output.items()
            names += [v["name"] for v in value] if kind == "as_tensors" else [value.get("name", "")]
        first = self._meta.get(names[0]) if names else None
        arguments = {
            {"self": "x", "input": "x"}.get(one["name"], one["name"]): self._value(one["arg"])
            for one in node["inputs"]
            if not set(one["arg"]).intersection(_PLACES)
        }
        return AtenNode(
            node["target"].removeprefix(_ATEN),
            arguments,
            tuple(names),
            self._extents.shape(list(first["sizes"])) if first else (),
            DTYPES.get(first["dtype"], "unknown") if first else "",
        )

    def _value(self, argument: Mapping[str, Any]) -> Any:
        """Return an argument as a Python value; what is none that is known stays a mapping."""
        ((kind, value),) = argument.items()
        if kind == "as_tensor":
            return Ref(value["name"])
        if kind == "as_tensors":
            return [Ref(one["name"]) for one in value]
        if kind in ("as_optional_tensors", "as_optional_tensor"):
            several = isinstance(value, list)
            return [self._value(one) for one in value] if several else self._value(value)
        if kind == "as_none":
            return None
        if kind == "as_scalar_type":
            return DTYPES.get(value, f"number {value}")
        if kind == "as_float":
            return float(value)  # infinities are texts
        if kind == "as_floats":
            return [float(one) for one in value]
        if kind == "as_sym_int":
            return self._extent(value)
        if kind == "as_sym_ints":
            return [self._extent(one) for one in value]
        if kind in ("as_int", "as_ints", "as_bool", "as_bools", "as_string", "as_strings"):
            return value
        return dict(argument)

    def _extent(self, value: Mapping[str, Any]) -> Dim:
        """Return an argument that is a number, or an extent computed before."""
        known = value if "as_int" in value else self._numbers[value["as_name"]]
        return self._extents.read(known)


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
