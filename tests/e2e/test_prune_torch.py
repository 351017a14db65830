"""A model that PyTorch alone has, pruned, trained, written, and read again by PyTorch."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command_line import Sandbox
from pt2_archives import needs_torch
from safetensors.numpy import load_file
from small_models import small_config

import tvm_sparse
from tvm_sparse.api.models import sparsify
from tvm_sparse.compiler.compile import compile_model
from tvm_sparse.compiler.reference_check import check_against_reference
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.sparsity.bsr import block_mask

pytestmark = [pytest.mark.e2e, pytest.mark.slow, needs_torch]

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *["red", "bird", "sees", "a", "tree", "house", "fish", "eats", "the", "old"],
]
SHAPE = {"batch": 2, "seq_len": 16}
BLOCK = (4, 4)


def test_from_a_checkpoint_to_a_sparse_build(tmp_path, cache_dir):
    seeded, dense, pruned = (tmp_path / name for name in ("seeded", "dense", "pruned"))
    seeded.mkdir()
    (seeded / "config.json").write_text(json.dumps(small_config("modernbert-base")))
    model = tvm_sparse.load_model(ModelSpec(str(seeded), weights="random", **SHAPE))
    tvm_sparse.prune(model, method="magnitude", sparsity=0.0).save(dense)
    (dense / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(" ".join(np.roll(WORDS[4:], i)[:6]) for i in range(24)) + "\n")

    sandbox = Sandbox(tmp_path / "sandbox")
    through = ("--importer", "torch", "--seq-len", 16, "--batch", 2, "--threads", 1)
    done = sandbox.run(
        *("prune", dense, "-o", pruned, "--sparsity", 0.5, "--block", "4x4", *through),
        *("--method", "magnitude", "--finetune", "distill", "--finetune-text", texts),
        *("--finetune-steps", 12),
    )
    assert done.returncode == 0, done.stderr
    assert "trained for 12 steps" in done.stdout
    report = json.loads((pruned / "pruning.json").read_text())
    training = report["finetune"]["training"]
    assert training["held_out_loss_after"] < training["held_out_loss_before"]
    old, new = (load_file(place / "model.safetensors") for place in (dense, pruned))
    assert old.keys() == new.keys()
    layers = [name for name in old if name.startswith("layers.") and old[name].ndim == 2]
    for name, value in old.items():
        # Whatever is no embedding may be trained.
        assert np.array_equal(value, new[name]) == name.startswith("embeddings"), name
    for name in layers:
        mask = block_mask(new[name], BLOCK)
        assert (~mask).sum() == round(mask.size * 0.5)

    # What PyTorch computes with the new weights is what a sparse build of them computes.
    again = tvm_sparse.load_model(ModelSpec(str(pruned), weights="checkpoint", **SHAPE))
    assert (again.reference.framework, len(again.facts.weights.gaps.missing)) == ("PyTorch", 0)
    sparse = sparsify(again, block_shape=BLOCK, sparsity_threshold=0.4)
    build = compile_model(again.mod, again.params, CompileSpec(threads=1), sparse.sparsity)
    assert sum(d.action == "sparse" for d in build.lowered.decisions) == len(layers)
    check_against_reference(build, again.reference, 1, atol=1e-5, rtol=1e-5)

    done = sandbox.run("evaluate", pruned, "--against", dense, "--text", texts, *through)
    assert done.returncode == 0, done.stderr
    assert "mean cosine of" in done.stdout
