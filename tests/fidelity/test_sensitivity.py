"""Against the importer's import of a small checkpoint: the real code, real weights."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_bert import TEXTS

from tvm_sparse.errors import BuildError, ConfigError
from tvm_sparse.fidelity.evaluate import run_side
from tvm_sparse.fidelity.sensitivity import Probe, measure_sensitivity
from tvm_sparse.fidelity.views import compare
from tvm_sparse.records.write import json_text
from tvm_sparse.sparsity.allocation import allocate
from tvm_sparse.sparsity.decision import eligible_layers
from tvm_sparse.sparsity.pruning import prune_magnitude
from tvm_sparse.text.tokens import load_tokenizer

pytestmark = pytest.mark.e2e
BLOCK = (2, 1)


@pytest.fixture(scope="module")
def tokens(dense_dir):
    return load_tokenizer(dense_dir).encode(TEXTS, 16)


@pytest.fixture(scope="module")
def layers(dense_side):
    found = dense_side.model.layers
    refusals = eligible_layers(found, BLOCK)
    return [layer for layer in found if not refusals[layer.name]]


def outputs(model, tokens):
    batch, _ = next(iter(tokens.batches(("input_ids", "attention_mask", "token_type_ids"), 4)))
    return model(batch)["last_hidden_state"]


def test_layers_changed_one_by_one_equal_the_whole_packed_anew(dense_side, layers, tokens):
    params, code = dense_side.model.params, dense_side.code
    dense = code.pack(params)
    for layer in (layers[0], layers[3], layers[-1]):  # one of a stack, and two alone
        weight = prune_magnitude(layer.load(params), BLOCK, 0.5)
        changed = dense.with_layers({layer.name: weight}, params)
        wanted = code.pack({**params, layer.name: layer.to_stored(weight)})
        np.testing.assert_array_equal(outputs(changed, tokens), outputs(wanted, tokens))
        assert not np.array_equal(outputs(changed, tokens), outputs(dense, tokens))
        kept = [a is b for a, b in zip(dense.arguments.values(), changed.arguments.values(),
                strict=True)]  # fmt: skip
        assert kept.count(False) == 1  # only what holds the layer is packed


def test_both_orders_of_a_stored_weight(dense_side, layers, tokens):
    """Two layers at once, in one stack: query and key."""
    params, code = dense_side.model.params, dense_side.code
    pair = [layer for layer in layers if "layer_._0/attention/self" in layer.name][:2]
    weights = {layer.name: prune_magnitude(layer.load(params), BLOCK, 0.5) for layer in pair}
    changed = code.pack(params).with_layers(weights, params)
    stored = {layer.name: layer.to_stored(weights[layer.name]) for layer in pair}
    wanted = code.pack({**params, **stored})
    np.testing.assert_array_equal(outputs(changed, tokens), outputs(wanted, tokens))


def test_weights_of_another_architecture_are_refused(dense_side):
    other = {name: np.zeros((3, *v.shape), v.dtype) for name, v in dense_side.model.params.items()}
    with pytest.raises((BuildError, ValueError)):
        dense_side.code.pack(other)


def test_sensitivity_grows_with_sparsity_and_serves_a_schedule(dense_side, layers, tokens):
    params = {name: value.copy() for name, value in dense_side.model.params.items()}
    shares = []
    found = measure_sensitivity(
        replace(dense_side.model, params=params),
        dense_side.code,
        layers,
        tokens,
        Probe(BLOCK),
        sparsities=(0.25, 0.5, 1.0),
        progress=lambda line, share: shares.append(share),
    )
    assert [layer.weight for layer in found.layers] == [la.canonical_name for la in layers]
    assert shares[0] == 0
    assert len(shares) == len(layers)
    for name, value in params.items():
        np.testing.assert_array_equal(value, dense_side.model.params[name])  # nothing was changed
    for layer, measured in zip(layers, found.layers, strict=True):
        assert measured.blocks == layer.shape[0] * layer.shape[1] // 2
        assert measured.losses[-1] > measured.losses[0] >= 0
        # One minus the loss, as both are of the cosine.
        np.testing.assert_allclose(np.array(measured.measures) + measured.losses, 1, atol=1e-6)
    # What was measured of one layer is what pruning it alone gives.
    reference = run_side(dense_side, tokens)
    layer = layers[4]
    weight = layer.to_stored(prune_magnitude(layer.load(params), BLOCK, 0.5))
    model = dense_side.code.pack({**params, layer.name: weight})
    direct = compare("encoder", reference, run_side(dense_side.with_forward(model), tokens))
    assert direct["loss"] == pytest.approx(found.layers[4].losses[1], abs=1e-9)
    zeros = allocate([layer.curve for layer in found.layers], 0.4)
    assert sum(zeros.values()) == round(0.4 * sum(layer.blocks for layer in found.layers))
    json_text(found)


@pytest.mark.parametrize("levels", [(), (0.0, 0.5), (0.5, 0.4), (0.5, 1.2)])
def test_sparsities_that_make_no_sense_are_refused(dense_side, layers, tokens, levels):
    with pytest.raises(ConfigError, match="ascend"):
        measure_sensitivity(
            *(dense_side.model, dense_side.code, layers[:1], tokens, Probe(BLOCK)),
            sparsities=levels,
        )
