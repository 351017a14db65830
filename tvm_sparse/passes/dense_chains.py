"""Find each dense layer with what can be computed in its kernel: bias, activation, residual."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass

from tvm import relax

from tvm_sparse.ir.dims import Dim
from tvm_sparse.ir.expressions import MATMUL, PERMUTE_DIMS, op_name, tensor_shape
from tvm_sparse.ir.functions import Uses, bindings
from tvm_sparse.kernels.epilogue import Epilogue
from tvm_sparse.ops.sparse_dense import SparseDense

#: Relax operators that a product's epilogue can apply, with the epilogue's name for each.
EPILOGUE_ACTIVATIONS = {
    "relax.nn.gelu": "gelu",
    "relax.nn.gelu_tanh": "gelu_tanh",
    "relax.nn.relu": "relu",
    "relax.nn.silu": "silu",
    "relax.sigmoid": "sigmoid",
    "relax.tanh": "tanh",
}
#: Relax names attention with a bias differently.
ATTENTION = {"relax.nn.attention", "relax.nn.attention_bias"}


@dataclass(frozen=True)
class DenseChain:
    """One dense layer and the operations fused behind it.

    It multiplies `data` (..., K) with `weight`, which is (N, K) or the three parameters of a BSR
    weight. `bias` is a parameter (N,), `residual` a tensor of the product's shape. `members` is
    everything the chain computes, in order; the last one is its result.
    """

    data: relax.Var
    weight: tuple[relax.Var, ...]
    bias: relax.Var | None
    residual: relax.Var | None
    activation: str
    members: tuple[relax.Var, ...]

    @property
    def result(self) -> relax.Var:
        """The variable the whole chain computes."""
        return self.members[-1]

    @property
    def epilogue(self) -> Epilogue:
        """What is fused behind the product."""
        return Epilogue(self.bias is not None, self.residual is not None, self.activation)

    @property
    def is_sparse(self) -> bool:
        """Whether the weight is block-sparse."""
        return len(self.weight) == 3


def find_dense_chains(
    func: relax.Function, uses: Uses, weights: Set[relax.Var]
) -> dict[relax.Var, DenseChain]:
    """Find every dense or sparse layer of a function, once `bsr_dense` is through with it.

    The chains come by their results, in the order of the products. `weights` are the parameters
    that are no inputs.
    """
    chains: dict[relax.Var, DenseChain] = {}
    taken: set[relax.Var] = set()
    for binding in bindings(func):
        weight = _weight(binding.value, uses, weights)
        if weight is not None:
            chain = _follow(binding.var, binding.value.args[0], weight, uses, weights, taken)
            chains[chain.result] = chain
            taken.update(chain.members)
    return chains


def _weight(value: relax.Expr, uses: Uses, weights: Set[relax.Var]) -> tuple[relax.Var, ...] | None:
    if op_name(value) == SparseDense.op_name:
        _, *triple = value.args
        # With an epilogue of its own it was written by hand: it is lowered by itself.
        plain = len(triple) == 3 and SparseDense.of(value).activation == "none"
        return tuple(triple) if plain and all(var in weights for var in triple) else None
    if not isinstance(value, relax.Call) or value.op != MATMUL:
        return None
    transpose = uses.value.get(value.args[1])
    if (
        isinstance(transpose, relax.Call)
        and transpose.op == PERMUTE_DIMS
        and transpose.args[0] in weights
        and transpose.args[0].ty.ndim == 2
        and value.args[0].ty.dtype == "float32"
    ):
        return (transpose.args[0],)
    return None


def _follow(
    product: relax.Var,
    data: relax.Var,
    weight: tuple[relax.Var, ...],
    uses: Uses,
    weights: Set[relax.Var],
    taken: set[relax.Var],
) -> DenseChain:
    """Walk down the only readers as long as the kernel's epilogue can do what they do."""
    shape = tensor_shape(product)
    members, bias, residual, activation = [product], None, None, "none"
    while (reader := uses.only_reader(members[-1])) is not None:
        value = uses.value[reader]
        name = op_name(value)
        if reader in taken:
            break
        if name in EPILOGUE_ACTIVATIONS and activation == "none" and residual is None:
            activation = EPILOGUE_ACTIVATIONS[name]
        elif name == "relax.add":
            other = value.args[1] if value.args[0].same_as(members[-1]) else value.args[0]
            if not isinstance(other, relax.Var):
                break
            vector = other in weights and tensor_shape(other) == shape[-1:]
            if vector and bias is None and activation == "none" and residual is None:
                bias = other
            elif tensor_shape(other) == shape and other not in weights and residual is None:
                if _is_left_to_norm(reader, shape, uses):
                    break
                residual = other
            else:
                break
        else:
            break
        members.append(reader)
    return DenseChain(data, weight, bias, residual, activation, tuple(members))


def _is_left_to_norm(total: relax.Var, shape: tuple[Dim, ...], uses: Uses) -> bool:
    """Tell whether a layer norm adds what would be added to a product.

    Of an open model: one kernel then serves products before a norm and those without a residual.
    """
    reader = uses.only_reader(total)
    if reader is None or op_name(uses.value[reader]) != "relax.nn.layer_norm":
        return False
    is_open = len(shape) == 3 and not isinstance(shape[1], int)
    return is_open and bool(uses.value[reader].args[0].same_as(total))
