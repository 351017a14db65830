"""simplify_fc_transpose: every dense layer ends as matmul(x, permute_dims(<w>.T))."""

from __future__ import annotations

import numpy as np
import pytest
import tvm
from tvm.ir import assert_structural_equal
from tvm.script import ir as I
from tvm.script import relax as R

from tvm_sparse.errors import PassError
from tvm_sparse.passes import simplify_fc_transpose

pytestmark = pytest.mark.ir


def random_params(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {name: rng.standard_normal(shape, "float32") for name, shape in shapes.items()}


@I.ir_module
class Dense:
    @R.function
    def main(
        x: R.Tensor((2, 3, 8), "float32"),
        w: R.Tensor((8, 4), "float32"),
        b: R.Tensor((4,), "float32"),
    ):
        R.func_attr({"num_input": 1})
        with R.dataflow():
            y = R.matmul(x, w)
            z = R.add(y, b)
            R.output(z)
        return z


@I.ir_module
class DenseExpected:
    @R.function
    def main(
        x: R.Tensor((2, 3, 8), "float32"),
        w: R.Tensor((4, 8), "float32"),
        b: R.Tensor((4,), "float32"),
    ):
        R.func_attr({"num_input": 1})
        with R.dataflow():
            t = R.permute_dims(w)
            y = R.matmul(x, t)
            z = R.add(y, b)
            R.output(z)
        return z


def test_weight_gets_the_suffix_and_the_transposed_values():
    params = random_params(w=(8, 4), b=(4,))
    mod, new = simplify_fc_transpose.convert(Dense, params)
    assert_structural_equal(mod, DenseExpected)
    assert [var.name for var in mod["main"].params] == ["x", "w.T", "b"]
    assert list(new) == ["w.T", "b"]
    np.testing.assert_array_equal(new["w.T"], params["w"].T)
    assert new["b"] is params["b"]


def test_inputs_are_unchanged():
    params = random_params(w=(8, 4), b=(4,))
    copies = {name: value.copy() for name, value in params.items()}
    text = Dense.script()
    mod, new = simplify_fc_transpose.convert(Dense, params)
    assert mod is not Dense
    assert Dense.script() == text
    assert list(params) == ["w", "b"]
    for name, value in copies.items():
        np.testing.assert_array_equal(params[name], value)
        assert params[name].flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        new["w.T"][0, 0] = 1  # it shares memory with the caller's weight


def test_twice_is_once():
    once, params = simplify_fc_transpose.convert(Dense, random_params(w=(8, 4), b=(4,)))
    twice, same = simplify_fc_transpose.convert(once, params)
    assert_structural_equal(twice, once)
    assert [var.name for var in twice["main"].params] == ["x", "w.T", "b"]
    assert list(same) == ["w.T", "b"]


def test_double_transpose_is_none():
    @I.ir_module
    class Before:
        @R.function
        def main(
            x: R.Tensor((2, 3, 8), "float32"),
            w: R.Tensor((8, 4), "float32"),
            b: R.Tensor((4,), "float32"),
        ):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                once = R.permute_dims(w)
                alias = once
                twice = R.permute_dims(alias, axes=[-1, 0])
                y = R.matmul(x, twice)
                z = R.add(y, b)
                R.output(z)
            return z

    params = random_params(w=(8, 4), b=(4,))
    mod, new = simplify_fc_transpose.convert(Before, params)
    assert_structural_equal(mod, DenseExpected)
    np.testing.assert_array_equal(new["w.T"], params["w"].T)


def test_transposed_weight_keeps_its_name_and_one_transpose():
    @I.ir_module
    class Before:
        @R.function
        def main(
            x: R.Tensor((2, 3, 8), "float32"),
            w: R.Tensor((4, 8), "float32"),
            b: R.Tensor((4,), "float32"),
        ):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                once = R.permute_dims(w)
                twice = R.permute_dims(once)
                thrice = R.permute_dims(twice)
                y = R.matmul(x, thrice)
                z = R.add(y, b)
                R.output(z)
            return z

    params = random_params(w=(4, 8), b=(4,))
    mod, new = simplify_fc_transpose.convert(Before, params)
    assert_structural_equal(mod, DenseExpected)
    assert new == params


def test_shared_weight_is_one_parameter():
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((3, 4), "float32"), w: R.Tensor((4, 4), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = R.matmul(x, w)
                z = R.matmul(y, w)
                R.output(z)
            return z

    @I.ir_module
    class Expected:
        @R.function
        def main(x: R.Tensor((3, 4), "float32"), w: R.Tensor((4, 4), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                t1 = R.permute_dims(w)
                y = R.matmul(x, t1)
                t2 = R.permute_dims(w)
                z = R.matmul(y, t2)
                R.output(z)
            return z

    mod, new = simplify_fc_transpose.convert(Before, random_params(w=(4, 4)))
    assert_structural_equal(mod, Expected)
    assert list(new) == ["w.T"]


@I.ir_module
class TiedEmbedding:
    """A masked language model: the output layer multiplies with the embedding table."""

    @R.function
    def main(
        ids: R.Tensor((3,), "int32"),
        table: R.Tensor((16, 4), "float32"),
        w: R.Tensor((4, 4), "float32"),
    ):
        R.func_attr({"num_input": 1})
        with R.dataflow():
            x = R.take(table, ids, axis=0)
            h = R.matmul(x, w)
            decoder = R.permute_dims(table)
            y = R.matmul(h, decoder)
            R.output(y)
        return y


def test_weight_with_another_reader_keeps_its_form():
    @I.ir_module
    class Expected:
        @R.function
        def main(
            ids: R.Tensor((3,), "int32"),
            table: R.Tensor((16, 4), "float32"),
            w: R.Tensor((4, 4), "float32"),
        ):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                x = R.take(table, ids, axis=0)
                t = R.permute_dims(w)
                h = R.matmul(x, t)
                decoder = R.permute_dims(table)
                y = R.matmul(h, decoder)
                R.output(y)
            return y

    params = random_params(table=(16, 4), w=(4, 4))
    mod, new = simplify_fc_transpose.convert(TiedEmbedding, params)
    assert_structural_equal(mod, Expected)
    assert list(new) == ["table", "w.T"]
    assert new["table"] is params["table"]


def test_weight_multiplied_both_ways_keeps_its_form():
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((3, 4), "float32"), w: R.Tensor((4, 8), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = R.matmul(x, w)
                t = R.permute_dims(w)
                z = R.matmul(y, t)
                R.output(z)
            return z

    mod, new = simplify_fc_transpose.convert(Before, random_params(w=(4, 8)))
    assert_structural_equal(mod, Before)
    assert list(new) == ["w"]


def test_returned_weight_keeps_its_form():
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor((3, 4), "float32"), w: R.Tensor((4, 8), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = R.matmul(x, w)
                pair = (y, w)
                R.output(pair)
            return pair

    mod, new = simplify_fc_transpose.convert(Before, random_params(w=(4, 8)))
    assert_structural_equal(mod, Before)
    assert list(new) == ["w"]


def test_only_two_dimensional_right_hand_sides_are_weights():
    @I.ir_module
    class Before:
        @R.function
        def main(
            x: R.Tensor((2, 3, 4), "float32"),
            left: R.Tensor((5, 3), "float32"),
            batched: R.Tensor((2, 4, 4), "float32"),
        ):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = R.matmul(x, batched)
                z = R.matmul(left, y)
                R.output(z)
            return z

    mod, new = simplify_fc_transpose.convert(Before, random_params(left=(5, 3), batched=(2, 4, 4)))
    assert_structural_equal(mod, Before)
    assert list(new) == ["left", "batched"]


def test_rewritten_module_computes_the_same():
    params = random_params(w=(8, 4), b=(4,))
    x = random_params(x=(2, 3, 8))["x"]
    mod, new = simplify_fc_transpose.convert(Dense, params)
    executable = tvm.compile(mod, target="llvm")
    vm = tvm.relax.VirtualMachine(executable, tvm.cpu())
    args = [tvm.runtime.tensor(value) for value in (x, new["w.T"], new["b"])]
    np.testing.assert_allclose(
        vm["main"](*args).numpy(), x @ params["w"] + params["b"], rtol=1e-5, atol=1e-5
    )


def test_module_without_main_is_refused():
    mod = tvm.IRModule({"other": Dense["main"].with_attr("global_symbol", "other")})
    with pytest.raises(PassError, match="holds other: a Relax function 'main' is needed"):
        simplify_fc_transpose.convert(mod, {})


def test_dynamic_shape_is_refused():
    @I.ir_module
    class Before:
        @R.function
        def main(x: R.Tensor(("m", 8), "float32"), w: R.Tensor((8, 4), "float32")):
            R.func_attr({"num_input": 1})
            with R.dataflow():
                y = R.matmul(x, w)
                R.output(y)
            return y

    with pytest.raises(PassError, match="all dimensions must be static"):
        simplify_fc_transpose.convert(Before, random_params(w=(8, 4)))
