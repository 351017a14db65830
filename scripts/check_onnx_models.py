#!/usr/bin/env python3
"""Export small models of many families to ONNX, import and compile them, compare with ONNX Runtime.

python scripts/check_onnx_models.py [--only NAME]... [--exporter torchscript|dynamo]... [--batch N]

A line a file: the largest difference over the largest value, how many dense layers may run sparse.
Models are those of check_torch_models.py; PyTorch exports in a process of its own, with onnxscript
for the new exporter. Exits with 1 if one is refused or differs by more than 1e-4; what an exporter
cannot export is said, and counts for nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
from check_torch_models import MODELS, told

from tvm_sparse.errors import TvmSparseError
from tvm_sparse.torch_free import without_torch

_EXPORT = """
import json, sys, warnings
warnings.filterwarnings("ignore")
import torch, transformers
folder, architecture, exporter, batch, length = sys.argv[1:]
batch, length = int(batch), int(length)
config = json.load(open(folder + "/config.json"))
made = transformers.AutoConfig.for_model(**config)
torch.manual_seed(0)
model = getattr(transformers, architecture)(made).eval()
with torch.no_grad():
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.1 * torch.randn(parameter.shape))
if model.main_input_name == "pixel_values":
    size = made.image_size
    given = {"pixel_values": torch.randn(batch, 3, size, size)}
else:
    ids = torch.randint(5, made.vocab_size, (batch, length))
    given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
if hasattr(made, "use_cache"):
    made.use_cache = False
class Flat(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.model = model
    def forward(self, *values):
        out = self.model(**dict(zip(given, values)), return_dict=True)
        return tuple(v for v in out.values() if isinstance(v, torch.Tensor))
with torch.no_grad():
    out = model(**given, return_dict=True)
names = [k for k, v in out.items() if isinstance(v, torch.Tensor)]
files = dict(input_names=list(given), output_names=names)
path, values = folder + "/model.onnx", tuple(given.values())
if exporter == "dynamo":
    torch.onnx.export(Flat(), values, path, dynamo=True, **files)
else:
    axes = {name: {0: "batch"} for name in given}
    options = dict(dynamo=False, opset_version=17, dynamic_axes=axes)
    torch.onnx.export(Flat(), values, path, **options, **files)
"""


@click.command(help=__doc__)
@click.option("--only", multiple=True, metavar="NAME", help="Only models with this in their name.")
@click.option("--exporter", multiple=True, default=("torchscript", "dynamo"), show_default=True)
@click.option("--batch", default=2, show_default=True, metavar="N")
@click.option("--seq-len", default=32, show_default=True, metavar="N")
def main(only: tuple[str, ...], exporter: tuple[str, ...], batch: int, seq_len: int) -> None:
    """Check all models and say what came out."""
    chosen = [n for n in MODELS if not only or any(o.lower() in n.lower() for o in only)]
    failed = [
        f"{name} ({one})"
        for name in chosen
        for one in exporter
        if not _check(name, one, batch, seq_len)
    ]
    if failed:
        raise SystemExit(f"{len(failed)} not right: {', '.join(failed)}")


def _export(folder: str, name: str, exporter: str, batch: int, seq_len: int) -> str:
    """Write the file and its config; return why it could not be exported, if so."""
    architecture, config = MODELS[name]
    document = {**config, "architectures": [architecture]}
    Path(folder, "config.json").write_text(json.dumps(document))
    arguments = [folder, architecture, exporter, str(batch), str(seq_len)]
    done = subprocess.run(
        [sys.executable, "-c", _EXPORT, *arguments],
        env={**os.environ, "USE_TORCH": "1", "USE_TF": "0", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stderr.strip().rpartition("\n")[2][:120]


@without_torch()
def _check(name: str, exporter: str, batch: int, seq_len: int) -> bool:
    from tvm_sparse.compiler.compile import compile_model
    from tvm_sparse.config.compile import CompileSpec
    from tvm_sparse.config.model import ModelSpec
    from tvm_sparse.importers.contract import verify
    from tvm_sparse.importers.onnx.importer import import_model
    from tvm_sparse.progress import silent
    from tvm_sparse.sources.source import resolve_source

    label, start = f"{name}, {exporter}", time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        if reason := _export(folder, name, exporter, batch, seq_len):
            click.echo(f"{label:36} not exported: {reason}")
            return True
        try:
            spec = ModelSpec(f"{folder}/model.onnx", batch=batch, seq_len=seq_len)
            imported = import_model(spec, resolve_source(spec), silent)
            verify(imported, "onnx")
            build = compile_model(imported.mod, imported.params, CompileSpec())
        except TvmSparseError as error:
            click.echo(f"{label:36} refused: {error}")
            return False
    return told(label, imported, build, start)


if __name__ == "__main__":
    main()
