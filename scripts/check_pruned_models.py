#!/usr/bin/env python3
"""Prune small models of many families that come through PyTorch, and have PyTorch read them again.

python scripts/check_pruned_models.py [--only NAME]... [--block 4x4] [--steps N]

A line a model. transformers writes a checkpoint of each and reads the pruned one, in processes of
their own; the models are those of check_torch_models.py. Those of texts are pruned by second order
and trained for so many steps, those of images by magnitude. Wrong, and exit code 1: a tensor
changed that was neither pruned nor trained, a zero is missing or came back, transformers misses a
tensor or knows one too much, or a sparse build is further than 1e-5 from what PyTorch computes with
the pruned weights, over the largest value.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from check_torch_models import MODELS

from tvm_sparse.errors import TvmSparseError

_MOST = 1e-5
_SHAPE = {"batch": 2, "seq_len": 32}
_LETTERS = "abcdefghij"
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS += [a + b + c for a in _LETTERS for b in _LETTERS for c in _LETTERS][: 1000 - len(_WORDS)]
_SETUP = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import numpy as np, torch, transformers
folder, architecture = sys.argv[1:]
torch.manual_seed(0)
"""
_WRITE = """
config = json.load(open(folder + "/config.json"))
model = getattr(transformers, architecture)(transformers.AutoConfig.for_model(**config)).eval()
with torch.no_grad():
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn(parameter.shape))
model.save_pretrained(folder + "/dense")
"""
_READ = """
model, said = getattr(transformers, architecture).from_pretrained(
    folder + "/pruned", output_loading_info=True
)
given = {n: torch.from_numpy(v) for n, v in np.load(folder + "/inputs.npz").items()}
given = {n: v if v.is_floating_point() else v.long() for n, v in given.items()}
with torch.no_grad():
    found = model.eval().float()(**given, return_dict=True)
arrays = {n: v.numpy() for n, v in found.items() if isinstance(v, torch.Tensor)}
np.savez(folder + "/outputs.npz", **arrays)
print(json.dumps(sorted(str(one) for part in said.values() for one in part)))
"""


@click.command(help=__doc__)
@click.option("--only", multiple=True, metavar="NAME", help="Only models with this in their name.")
@click.option("--block", default="4x4", show_default=True, metavar="RxC")
@click.option("--sparsity", default=0.8, show_default=True)
@click.option("--steps", default=6, show_default=True, metavar="N", help="Of training; 0 for none.")
def main(only: tuple[str, ...], block: str, sparsity: float, steps: int) -> None:
    """Check all models and say what came out."""
    chosen = [n for n in MODELS if not only or any(o.lower() in n.lower() for o in only)]
    rows, _, columns = block.partition("x")
    shape = int(rows), int(columns)
    failed = []
    for name in chosen:
        start = time.monotonic()
        try:
            said = _check(name, shape, sparsity, steps)
        except (TvmSparseError, AssertionError) as error:
            failed.append(name)
            said = f"not right: {error}"
        click.echo(f"{name:24} {said}  ({time.monotonic() - start:.0f} s)")
    if failed:
        raise SystemExit(f"{len(failed)} of {len(chosen)} not right: {', '.join(failed)}")


def _check(name: str, block: tuple[int, int], sparsity: float, steps: int) -> str:
    """Return what came out, AssertionError if it is wrong."""
    import tvm_sparse
    from tvm_sparse.config.compile import CompileSpec
    from tvm_sparse.config.model import ModelSpec
    from tvm_sparse.pruning.finetune import FinetuneSpec
    from tvm_sparse.sparsity.bsr import block_mask
    from tvm_sparse.sparsity.prune_spec import PruneSpec
    from tvm_sparse.training.distill import DistillSpec

    architecture, config = MODELS[name]
    is_text = "image_size" not in config
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "config.json").write_text(json.dumps(config))
        _with_transformers(_WRITE, folder, architecture)
        (place / "dense" / "vocab.txt").write_text("\n".join(_WORDS) + "\n")
        spec = ModelSpec(str(place / "dense"), "checkpoint", importer="torch", **_SHAPE)
        model = tvm_sparse.load_model(spec, cache_dir=place / "cache")
        method = "second-order" if is_text else "magnitude"
        how = PruneSpec(
            method, sparsity, block, calibration=_texts(place), samples=32, sequential=False
        )
        pruned = tvm_sparse.prune(model, how)
        losses = ""
        if is_text and steps:
            training = FinetuneSpec(_texts(place), training=DistillSpec(steps=steps, batch=8))
            pruned = tvm_sparse.finetune(pruned, training, state_dir=place / "state")
            told = pruned.report.finetune.training
            losses = f", loss {told.held_out_loss_before:.3f} to {told.held_out_loss_after:.3f}"
        pruned.save(place / "pruned")
        changed = _changed(place, bool(losses), len(pruned.layers))
        np.savez(place / "inputs.npz", **model.reference.inputs)
        said = _with_transformers(_READ, folder, architecture)
        assert said == "[]", f"transformers says of the pruned checkpoint: {said}"
        sparse = tvm_sparse.sparsify(
            pruned.model, block_shape=block, prune="none", sparsity_threshold=sparsity / 2
        )
        builds = tvm_sparse.compile(sparse, CompileSpec(threads=1), builds=("sparse",))
        build = tvm_sparse.load(builds.directories["sparse"])
        results = build.run(**model.reference.inputs)
        gap = _gap(results, dict(np.load(place / "outputs.npz")))
        masks = [block_mask(layer.load(pruned.model.params), block) for layer in pruned.layers]
        zeros = 1 - sum(mask.sum() for mask in masks) / sum(mask.size for mask in masks)
    assert gap < _MOST, f"the sparse build is {gap:.1e} off"
    assert abs(zeros - sparsity) < 0.01, f"{zeros:.1%} zero blocks"
    runs = sum(decision.action == "sparse" for decision in build.metadata.decisions)
    layers = f"{len(pruned.layers)} of {len(model.layers)} layers pruned by {method}"
    return f"{gap:.1e}  {layers}, {runs} run sparse, {changed} tensors changed{losses}"


def _changed(place: Path, is_trained: bool, pruned: int) -> int:
    """Return how many tensors of the checkpoint changed, AssertionError if too many did."""
    from safetensors.numpy import load_file

    old, new = (load_file(place / side / "model.safetensors") for side in ("dense", "pruned"))
    assert old.keys() == new.keys()
    changed = [name for name, value in old.items() if value.tobytes() != new[name].tobytes()]
    assert is_trained or len(changed) <= pruned, f"{len(changed)} tensors changed"
    return len(changed)


def _gap(found: Any, wanted: dict[str, np.ndarray]) -> float:
    return max(
        float(np.abs(value - wanted[name]).max() / np.abs(wanted[name]).max())
        for name, value in found.items()
    )


def _texts(place: Path) -> str:
    path = place / "texts.txt"
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(_WORDS[5:], rng.integers(6, 28))) for _ in range(64)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def _with_transformers(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _SETUP + code, *arguments],
        env={**os.environ, "USE_TORCH": "1", "USE_TF": "0", "TRANSFORMERS_VERBOSITY": "error"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.strip().rpartition("\n")[2][:200]
    return done.stdout.strip().rpartition("\n")[2]


if __name__ == "__main__":
    main()
