"""Dense chains: what a product's kernel takes along, and where a chain must end."""

from __future__ import annotations

import pytest
from relax_modules import make_module
from tvm import relax

from tvm_sparse.ir.functions import Uses
from tvm_sparse.passes.dense_chains import DenseChain, find_dense_chains
from tvm_sparse.passes.dense_to_sparse import BlockStructure, DenseToSparse

pytestmark = pytest.mark.ir

op = relax.op
INPUTS = {"x": (2, 5, 24), "r": (2, 5, 8)}
# Weights as they lie after simplify_fc_transpose: (N, K).
WEIGHTS = {"w": (8, 24), "b": (8,), "c": (8,), "full": (2, 5, 8)}


def chains_of(body, structures=None) -> list[DenseChain]:
    mod = make_module(INPUTS, WEIGHTS, body)
    if structures:
        mod = DenseToSparse(structures)(mod)
    func = mod["main"]
    weights = {var for var in func.params if var.name not in INPUTS}
    return list(find_dense_chains(func, Uses(func), weights).values())


def product(emit, x, w):
    return emit(op.matmul(x, emit(op.permute_dims(w))))


def facts(chain: DenseChain) -> tuple:
    """Bias, activation, residual, and how many steps the chain has."""
    return (
        chain.bias.name if chain.bias is not None else None,
        chain.activation,
        chain.residual is not None,
        len(chain.members),
    )


def test_bias_activation_and_residual_are_followed_in_the_order_of_the_kernel():
    def body(emit, x, r, w, b, c, full):
        biased = emit(op.add(b, product(emit, x, w)))
        return op.add(r, emit(op.nn.gelu(biased)))

    (chain,) = chains_of(body)
    assert facts(chain) == ("b", "gelu", True, 4)
    assert chain.data.name == "x"
    assert chain.residual.name == "r"
    assert [var.name for var in chain.weight] == ["w"]
    assert not chain.is_sparse
    assert chain.result.same_as(chain.members[-1])


@pytest.mark.parametrize(
    ("operator", "name"),
    [
        (op.nn.gelu, "gelu"),
        (op.nn.gelu_tanh, "gelu_tanh"),
        (op.nn.relu, "relu"),
        (op.nn.silu, "silu"),
        (op.sigmoid, "sigmoid"),
        (op.tanh, "tanh"),
    ],
)
def test_activations(operator, name):
    (chain,) = chains_of(lambda emit, x, r, w, *_: operator(product(emit, x, w)))
    assert facts(chain) == (None, name, False, 2)


def test_where_a_chain_ends():
    """Each body: what follows the product, and what the kernel can still take of it."""

    def second_bias(emit, x, r, w, b, c, full):
        return op.add(emit(op.add(product(emit, x, w), b)), c)

    def second_activation(emit, x, r, w, b, c, full):
        return op.tanh(emit(op.nn.relu(product(emit, x, w))))

    def bias_after_activation(emit, x, r, w, b, c, full):
        return op.add(emit(op.tanh(product(emit, x, w))), b)

    def activation_after_residual(emit, x, r, w, b, c, full):
        return op.nn.gelu(emit(op.add(product(emit, x, w), r)))

    def second_residual(emit, x, r, w, b, c, full):
        return op.add(emit(op.add(product(emit, x, w), r)), r)

    def itself(emit, x, r, w, b, c, full):
        out = product(emit, x, w)
        return op.add(out, out)

    def full_weight(emit, x, r, w, b, c, full):
        return op.add(product(emit, x, w), full)

    def constant(emit, x, r, w, b, c, full):
        return op.add(product(emit, x, w), relax.const(1.0, "float32"))

    def other_operator(emit, x, r, w, b, c, full):
        return op.multiply(product(emit, x, w), r)

    def two_readers(emit, x, r, w, b, c, full):
        out = product(emit, x, w)
        return relax.Tuple([emit(op.add(out, b)), emit(op.nn.relu(out))])

    def reader_in_a_tuple(emit, x, r, w, b, c, full):
        out = product(emit, x, w)
        return relax.Tuple([emit(op.add(out, b)), emit(op.concat([out, r], axis=1))])

    def output(emit, x, r, w, b, c, full):
        out = product(emit, x, w)
        return relax.Tuple([out, emit(op.add(out, b))])

    expected = {
        second_bias: ("b", "none", False, 2),
        second_activation: (None, "relu", False, 2),
        bias_after_activation: (None, "tanh", False, 2),
        activation_after_residual: (None, "none", True, 2),
        second_residual: (None, "none", True, 2),
        itself: (None, "none", False, 1),
        full_weight: (None, "none", False, 1),
        constant: (None, "none", False, 1),
        other_operator: (None, "none", False, 1),
        two_readers: (None, "none", False, 1),
        reader_in_a_tuple: (None, "none", False, 1),
        output: (None, "none", False, 1),
    }
    found = {body.__name__: [facts(chain) for chain in chains_of(body)] for body in expected}
    assert found == {body.__name__: [wanted] for body, wanted in expected.items()}


def test_an_addition_belongs_to_one_of_its_two_products():
    def body(emit, x, r, w, b, c, full):
        first = emit(op.add(product(emit, x, w), b))
        second = emit(op.add(product(emit, x, w), c))
        return op.add(first, second)

    first, second = chains_of(body)
    assert facts(first) == ("b", "none", True, 3)
    assert facts(second) == ("c", "none", False, 2)
    assert first.residual.same_as(second.result)


def test_sparse_layers_are_chains_too():
    def body(emit, x, r, w, b, c, full):
        return op.nn.relu(emit(op.add(product(emit, x, w), b)))

    (chain,) = chains_of(body, {"w": BlockStructure(5, (4, 1))})
    assert facts(chain) == ("b", "relu", False, 3)
    assert chain.is_sparse
    assert [var.name for var in chain.weight] == ["w.data", "w.indices", "w.indptr"]


def test_products_of_other_kinds_are_no_layers():
    def activations(emit, x, r, w, b, c, full):
        return op.matmul(x, emit(op.permute_dims(x, [0, 2, 1])))

    def as_it_is(emit, x, r, w, b, c, full):
        return op.matmul(r, w)

    def of_an_input(emit, x, r, w, b, c, full):
        rows = emit(op.reshape(r, (10, 8)))
        return op.matmul(r, emit(op.permute_dims(rows)))

    for body in (activations, as_it_is, of_an_input):
        assert chains_of(body) == []
