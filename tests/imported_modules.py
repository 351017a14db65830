"""What an imported module promises to the compiler, and what is raised in every encoder."""

from __future__ import annotations

from small_models import LAYERS
from tensorflow_graphs import op_counts
from tvm import relax


def assert_contract(mod, params) -> None:
    """One function, one dataflow block, inputs then named weights, no weight as a constant."""
    (function,) = mod.functions.values()
    names = [param.name for param in function.params]
    num_input = int(function.attrs["num_input"])
    assert names[num_input:] == list(params)
    assert len(set(names)) == len(names)
    assert len(function.body.blocks) == 1
    used = {var.name for var in relax.analysis.free_vars(function.body)}
    assert set(params) <= used, f"unused weights: {sorted(set(params) - used)}"
    assert not [name for name in params if ":" in name or name.startswith("tf_")]


def assert_raised(mod, config: dict) -> None:
    """Every attention, GELU and layer norm of the encoder is one op, nothing is left of them."""
    counts = op_counts(mod)
    assert counts["nn.attention_bias"] == LAYERS
    left = {"erf", "power", "nn.softmax", "mean", "rsqrt", "sqrt"}
    assert not left & set(counts), counts
    head = config["architectures"][0]
    if config["model_type"] == "mobilebert":
        # NoNorm stays an add and a multiply; the masked LM head alone has a layer norm.
        assert counts["nn.layer_norm"] == 1
        assert counts["nn.gelu"] == counts["nn.gelu_tanh"] == 0
        return
    head_transforms = int(head.endswith("MaskedLM"))
    gelus = LAYERS + head_transforms
    tanh_gelu = config.get("hidden_act") == "gelu_new"
    assert counts["nn.gelu_tanh" if tanh_gelu else "nn.gelu"] == gelus
    assert counts["nn.gelu" if tanh_gelu else "nn.gelu_tanh"] == 0
    assert counts["nn.layer_norm"] == 2 * LAYERS + 1 + head_transforms
    # Query, key, value, output, two of the feed-forward; then embeddings mapping and the head.
    mapping = int(config["model_type"] in ("albert", "electra"))
    heads = {"Model": 1, "ForSequenceClassification": 2, "ForMaskedLM": 2}
    after = next((n for suffix, n in heads.items() if head.endswith(suffix)), 1)
    assert counts["matmul"] == 6 * LAYERS + mapping + after
    # Splitting and joining heads, and what heads do to their outputs; no chains of reshapes.
    assert counts["reshape"] <= 4 * LAYERS + 4


def assert_vision_raised(mod) -> None:
    """The same of an image transformer."""
    counts = op_counts(mod)
    assert counts["nn.attention"] == counts["nn.gelu"] == LAYERS
    assert counts["nn.layer_norm"] == 2 * LAYERS + 1
    assert counts["matmul"] == 6 * LAYERS + 1
    assert counts["nn.conv2d"] == 1
    assert not {"erf", "nn.softmax", "mean", "rsqrt"} & set(counts)
