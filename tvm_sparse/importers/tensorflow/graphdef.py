"""A TensorFlow model, frozen into a GraphDef with named weights."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tvm_sparse.errors import FrontendError
from tvm_sparse.importers.model_inputs import find_inputs
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow
from tvm_sparse.model.facts import TensorSpec

# The order in which a module's inputs stand, whatever order the model's `call` has.
INPUT_ORDER = ("input_ids", "attention_mask", "token_type_ids", "pixel_values")

# Switched off where a model's `call` knows them: their outputs are not part of the result.
_CALL_SWITCHES = ("output_attentions", "output_hidden_states", "use_cache")


@dataclass(frozen=True)
class GraphOutput:
    """One output of a frozen graph.

    `name` is the model's own name for it (`last_hidden_state`, `logits`, ...), `tensor` the
    tensor in the graph that carries it, as "node:index". Extents are None where the run decides.
    """

    name: str
    tensor: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class FrozenGraph:
    """A GraphDef without variables or function calls, and what its nodes mean.

    Parameters
    ----------
    graph_def : tensorflow.GraphDef
        Every variable is a Const node.
    inputs : tuple of TensorSpec
        The placeholders in `INPUT_ORDER`.
    outputs : tuple of GraphOutput
        The model's outputs, in the model's order.
    weight_names : dict of str to str
        Const node name to the name of the variable it holds, without the model's own prefix and
        `:0`, e.g. `bert/encoder/layer_._0/attention/self/query/kernel`. A variable is one node,
        however often it is used.
    architecture : str
        Class of the model, without the leading TF.
    """

    graph_def: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[GraphOutput, ...]
    weight_names: dict[str, str] = field(default_factory=dict)
    architecture: str = ""


def input_signature(
    model: Any, config: dict[str, Any], batch: int, seq_len: int, form: str = "full"
) -> tuple[TensorSpec, ...]:
    """Return the inputs of a model of Keras, as `find_inputs` does."""
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING

    accepted = inspect.signature(model.call).parameters
    tokenizers = TOKENIZER_MAPPING.get(type(model.config), ())
    found = find_inputs(model, accepted, tokenizers, config, batch, seq_len, form)
    return tuple(TensorSpec(*one) for one in found)


def freeze(
    model: Any, inputs: tuple[TensorSpec, ...], left_out: Collection[str] = ()
) -> FrozenGraph:
    """Trace a model, at static shapes unless its inputs are open, and make its variables constants.

    Parameters
    ----------
    model : keras.Model
        A built TF model of transformers; its variables keep their values.
    inputs : tuple of TensorSpec
        As `input_signature` returns them.
    left_out : collection of str
        Outputs that the graph shall not have.

    Raises
    ------
    FrontendError
        The model returns no tensor, or a shape that is not static.
    """
    tf = import_tensorflow()
    order: list[str] = []

    def forward(features: dict[str, Any]) -> dict[str, Any]:
        results = {n: v for n, v in _call(model, features).items() if n not in left_out}
        order[:] = results
        return results

    signature = {i.name: tf.TensorSpec(_traced_shape(i), i.dtype, name=i.name) for i in inputs}
    # autograph off: the models of transformers are traceable as they stand, and their asserts
    # and branches on Python values must not become graph control flow.
    concrete = tf.function(forward, autograph=False).get_concrete_function(signature)
    # Flattening a dict of outputs sorts its keys.
    tensors = dict(zip(sorted(order), concrete.outputs, strict=True))
    is_open = any(i.is_open for i in inputs)
    outputs = tuple(_graph_output(name, tensors[name], is_open) for name in order)
    if not outputs:
        raise FrontendError(f"model {model.name} returns no tensors: nothing to import")
    graph_def = _variables_to_constants(concrete)
    weight_names = _weight_names(model, concrete, graph_def)
    architecture = type(model).__name__.removeprefix("TF")
    return FrozenGraph(graph_def, inputs, outputs, weight_names, architecture)


def run_reference(model: Any, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run a TF model and return its outputs as numpy arrays by name."""
    tf = import_tensorflow()
    features = {name: tf.constant(value) for name, value in values.items()}
    return {name: np.asarray(tensor) for name, tensor in _call(model, features).items()}


def variable_name(model: Any, variable: Any) -> str:
    """Return a variable's name without the model's own prefix and `:0`."""
    name = str(variable.name).split(":")[0]
    return name.removeprefix(f"{model.name}/")


def _call(model: Any, features: dict[str, Any]) -> dict[str, Any]:
    accepted = set(inspect.signature(model.call).parameters)
    switches = {name: False for name in _CALL_SWITCHES if name in accepted}
    results = model(**features, training=False, return_dict=True, **switches)
    return {name: value for name, value in results.items() if hasattr(value, "shape")}


def _variables_to_constants(concrete: Any) -> Any:
    """Return the GraphDef that `convert_variables_to_constants_v2` makes of a function.

    The last step of that function wraps the GraphDef into a callable again, which nobody here
    calls and which copies all weights several times over (BERT-base: ten times the time, and
    gigabytes). So its two first steps are taken alone where TensorFlow has them under these
    names.
    """
    from tensorflow.python.framework import convert_to_constants

    options = {"lower_control_flow": False, "aggressive_inlining": True}
    read_function = getattr(convert_to_constants, "_FunctionConverterDataInEager", None)
    replace = getattr(convert_to_constants, "_replace_variables_by_constants", None)
    if read_function is None or replace is None:
        frozen = convert_to_constants.convert_variables_to_constants_v2(concrete, **options)
        return frozen.graph.as_graph_def()
    graph_def, _ = replace(converter_data=read_function(func=concrete, **options))
    return graph_def


def _traced_shape(spec: TensorSpec) -> tuple[int | None, ...]:
    if not spec.is_open:
        return spec.shape
    named = zip(spec.axes, spec.shape, strict=True)
    return tuple(None if axis else extent for axis, extent in named)


def _graph_output(name: str, tensor: Any, is_open: bool) -> GraphOutput:
    if tensor.shape.rank is None or not (is_open or tensor.shape.is_fully_defined()):
        raise FrontendError(f"output {name} has the shape {tensor.shape}: it must be static")
    return GraphOutput(name, tensor.name, tuple(tensor.shape), tensor.dtype.name)


def _weight_names(model: Any, concrete: Any, graph_def: Any) -> dict[str, str]:
    """Map Const nodes to variables: a captured variable keeps its placeholder's node name."""
    constants = {node.name for node in graph_def.node if node.op == "Const"}
    # Handles are compared by identity: `captured` and `variable.handle` are the same tensor.
    captures = {id(outer): inner.op.name for outer, inner in concrete.graph.captures}
    names: dict[str, str] = {}
    taken: set[str] = set()
    for variable in model.variables:
        node = captures.get(id(variable.handle))
        if node is None or node not in constants:
            continue
        name = unique = variable_name(model, variable)
        count = 1
        while unique in taken:
            unique, count = f"{name}_{count}", count + 1
        taken.add(unique)
        names[node] = unique
    return names
