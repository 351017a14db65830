"""Reading functions: who reads a variable, what a function returns, what a module needs."""

from __future__ import annotations

import pytest
import tvm
from relax_modules import make_module
from tvm import relax
from tvm.ir import assert_structural_equal

from tvm_sparse.errors import PassError
from tvm_sparse.ir.functions import Uses, bindings, main_function, parameters, results, with_main

pytestmark = pytest.mark.ir

op = relax.op


def twice_and_once(emit, x, w):
    twice = emit(op.add(w, w))
    once = emit(op.nn.relu(twice))
    return relax.Tuple([once, once])


MODULE = make_module({"x": (2, 3)}, {"w": (2, 3)}, twice_and_once)


def test_uses_count_every_reader():
    x, w = MODULE["main"].params
    uses = Uses(MODULE["main"])
    twice, once, *_ = (binding.var for binding in bindings(MODULE["main"]))
    assert uses.only_reader(x) is None
    assert uses.only_reader(w) is None
    assert uses.only_reader(twice).same_as(once)


def test_inputs_come_before_weights():
    inputs, weights = parameters(MODULE["main"])
    assert ([var.name for var in inputs], [var.name for var in weights]) == (["x"], ["w"])


def test_results_are_found_behind_the_variable_that_holds_them():
    once = list(bindings(MODULE["main"]))[1].var
    assert all(field.same_as(once) for field in results(MODULE["main"]))
    assert len(results(MODULE["main"])) == 2


def test_another_main_leaves_the_module_as_it_is():
    before = tvm.IRModule(dict(MODULE.functions_items()))
    other = make_module({"x": (2, 3)}, {}, lambda emit, x: op.negative(x))
    changed = with_main(before, other["main"])
    assert_structural_equal(changed, other)
    assert_structural_equal(before, MODULE)


def test_a_module_without_main_is_refused():
    with pytest.raises(PassError, match="holds nothing: a Relax function 'main' is needed"):
        main_function(tvm.IRModule({}))
