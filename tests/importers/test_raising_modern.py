"""RMS norms, transposes of heads and slices of products are raised; others stay."""

from __future__ import annotations

import numpy as np
import pytest
from relax_modules import evaluate, make_module, op_names, random_values
from tolerances import MODEL
from tvm import relax

from tvm_sparse.importers.raising.pipeline import raise_patterns

pytestmark = pytest.mark.ir

op = relax.op
B, S, H, D = 2, 5, 3, 4
F = H * D


def raised(inputs, weights, body):
    """Return the operators after raising, which computes the same and finds nothing more."""
    mod = make_module(inputs, weights, body)
    result = raise_patterns(mod)
    given, params = random_values(mod)
    (wanted,), (found,) = evaluate(mod, params, given), evaluate(result, params, given)
    np.testing.assert_allclose(found, wanted, **MODEL)
    assert op_names(raise_patterns(result)) == op_names(result)
    return [name.removeprefix("relax.") for name in op_names(result)]


def mean_of_squares(emit, x, how):
    squares = {
        "product": lambda: op.multiply(x, x),
        "square": lambda: op.square(x),
        "power": lambda: op.power(x, relax.const(2.0)),
    }[how]()
    mean = emit(op.mean(emit(squares), [2], keepdims=True))
    return emit(op.add(mean, relax.const(1e-5)))


@pytest.mark.parametrize("how", ["product", "square", "power"])
@pytest.mark.parametrize("by_root", [False, True])
def test_rms_norm(how, by_root):
    def body(emit, x, gamma):
        spread = mean_of_squares(emit, x, how)
        if by_root:
            return op.multiply(emit(op.divide(x, emit(op.sqrt(spread)))), gamma)
        return op.multiply(gamma, emit(op.multiply(x, emit(op.rsqrt(spread)))))

    assert raised({"x": (B, S, F)}, {"gamma": (F,)}, body) == ["nn.rms_norm"]


def test_what_is_no_rms_norm():
    """The mean of another tensor, over other axes, a scale that is no vector of features."""

    def other(emit, x, gamma):
        spread = mean_of_squares(emit, emit(op.exp(x)), "product")
        return op.multiply(gamma, emit(op.multiply(x, emit(op.rsqrt(spread)))))

    def tokens(emit, x, gamma):
        mean = emit(op.mean(emit(op.multiply(x, x)), [1], keepdims=True))
        root = emit(op.rsqrt(emit(op.add(mean, relax.const(1e-5)))))
        return op.multiply(gamma, emit(op.multiply(x, root)))

    def scale(emit, x, gamma):
        root = emit(op.rsqrt(mean_of_squares(emit, x, "product")))
        whole = emit(op.reshape(gamma, (1, 1, F)))
        return op.multiply(whole, emit(op.multiply(x, root)))

    for body in (other, tokens, scale):
        assert "nn.rms_norm" not in raised({"x": (B, S, F)}, {"gamma": (F,)}, body)


def test_heads_that_are_cut_out_of_one_product_keep_their_order():
    """As ModernBERT has it: split, transposed, cut, turned, and given to attention."""
    angles = relax.const(np.linspace(0, 1, S * D).reshape(1, 1, S, D).astype("float32"))

    def body(emit, x, w):
        wide = emit(op.reshape(emit(op.matmul(x, w)), (B, S, 3, H, D)))
        moved = emit(op.permute_dims(wide, [0, 3, 2, 1, 4]))
        parts = [emit(op.strided_slice(moved, [2], [at], [at + 1])) for at in range(3)]
        q, k, v = (emit(op.reshape(part, (B, H, S, D))) for part in parts)
        halves = [emit(op.strided_slice(q, [3], [at], [at + 2])) for at in (0, 2)]
        partner = emit(op.concat([emit(op.negative(halves[1])), halves[0]], axis=3))
        q = emit(op.add(emit(op.multiply(q, angles)), emit(op.multiply(partner, angles))))
        q, k, v = (emit(op.permute_dims(one, [0, 2, 1, 3])) for one in (q, k, v))
        return op.reshape(emit(op.nn.attention(q, k, v)), (B, S, F))

    names = raised({"x": (B, S, F)}, {"w": (F, 3 * F)}, body)
    assert "permute_dims" not in names
    assert names.count("strided_slice") == 5


def test_pairs_that_are_stacked_keep_their_order():
    def body(emit, x):
        moved = emit(op.permute_dims(emit(op.reshape(x, (B, S, H, D))), [0, 2, 1, 3]))
        parts = [emit(op.strided_slice(moved, [3], [at], [D], [2])) for at in (1, 0)]
        parts = [emit(op.reshape(part, (B, H, S, D // 2, 1))) for part in parts]
        stack = emit(op.reshape(emit(op.concat(parts, axis=4)), (B, H, S, D)))
        return op.permute_dims(stack, [0, 2, 1, 3])

    assert "permute_dims" not in raised({"x": (B, S, F)}, {}, body)


def test_transposes_that_stay():
    """Of the features, of one operand alone, in front of a cut of what it moves nothing of."""

    def features(emit, x, y):
        return op.negative(emit(op.permute_dims(x, [0, 2, 1])))

    def one(emit, x, y):
        moved = emit(op.permute_dims(emit(op.reshape(x, (B, S, H, D))), [0, 2, 1, 3]))
        return op.add(moved, emit(op.reshape(y, (B, H, S, D))))

    for body in (features, one):
        names = raised({"x": (B, S, F), "y": (B, S, F)}, {}, body)
        assert names.index("permute_dims") < len(names) - 1


def test_slices_that_are_no_range_of_features():
    """An axis behind the first one, tokens, and more than one axis."""

    def behind(emit, x):
        split = emit(op.reshape(x, (B, S, H, D)))
        return op.strided_slice(split, [3], [0], [2])

    def tokens(emit, x):
        split = emit(op.reshape(x, (B, S, H, D)))
        return op.strided_slice(split, [1], [0], [2])

    def both(emit, x):
        split = emit(op.reshape(x, (B, S, H, D)))
        return op.strided_slice(split, [2, 3], [0, 0], [2, 2])

    for body in (behind, tokens, both):
        assert raised({"x": (B, S, F)}, {}, body) == ["reshape", "strided_slice"]


def test_attention_in_shifted_windows():
    """Scores are masked with windows beside images: as sequences they have masks of their own."""
    images, windows = 2, 3
    mask = np.random.default_rng(0).normal(size=(1, windows, 1, S, S)).astype(np.float32)

    def body(emit, q, k, v, positions):
        scores = emit(op.add(emit(op.matmul(q, k)), positions))
        grouped = emit(op.reshape(scores, (images, windows, H, S, S)))
        masked = emit(op.add(grouped, relax.const(mask)))
        merged = emit(op.reshape(masked, (images * windows, H, S, S)))
        return op.matmul(emit(op.nn.softmax(merged, axis=-1)), v)

    heads = (images * windows, H)
    inputs = {"q": (*heads, S, D), "k": (*heads, D, S), "v": (*heads, S, D)}
    names = raised(inputs, {"positions": (1, H, S, S)}, body)
    assert names.count("nn.attention_bias") == 1
    assert not {"nn.softmax", "matmul"} & set(names)
