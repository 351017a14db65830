"""Write a model of transformers as a `.pt2` archive, which `tvm-sparse` takes as a model.

python -m tvm_sparse.export_pt2 MODEL -o model.pt2

It needs PyTorch and transformers of any version that has the model, and neither TVM nor
TensorFlow: whoever trains with a newer transformers exports there, and compiles elsewhere.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.config.model import ModelSpec
from tvm_sparse.errors import ConfigError
from tvm_sparse.importers.full_config import full_config
from tvm_sparse.importers.reference_shapes import OPEN_AXES, check_open, reference_shapes
from tvm_sparse.importers.torch.export.archive import run_reference, write_archive
from tvm_sparse.importers.torch.export.model_class import find_class
from tvm_sparse.importers.torch.export.quiet_torch import import_transformers
from tvm_sparse.importers.torch.export.signature import find_inputs
from tvm_sparse.sizes import Extent, parse_extent

_MOST_CHARACTERS = 400


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code: 2 for a model that cannot be exported."""
    options = _parser().parse_args(arguments)
    out = Path(options.output)
    if out.suffix != ".pt2":
        return _refuse(f"-o {out} given: the name of an archive ends in .pt2")
    if not out.parent.is_dir():
        return _refuse(f"-o {out} given: there is no directory {out.parent}")
    try:
        import_transformers()
    except ImportError as error:
        return _refuse(f"{error.name} is not installed: exporting needs torch and transformers")
    # It appears whole or not at all.
    partial = out.with_name(f".{out.stem}.{os.getpid()}.pt2")
    try:
        lines = _export(options, partial)
        os.replace(partial, out)
    except Exception as error:  # of transformers and PyTorch, which have dozens of classes
        text = " ".join(str(error).split()) or type(error).__name__
        return _refuse(f"{options.model} cannot be exported: {text[:_MOST_CHARACTERS]}")
    finally:
        partial.unlink(missing_ok=True)
    print("\n".join([*lines, f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)"]))
    print(f"tvm-sparse run --model {out} --batch {options.batch} --seq-len {options.seq_len}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tvm_sparse.export_pt2",
        description="Write a model of transformers as a .pt2 archive, for tvm-sparse --model.",
    )
    parser.add_argument("model", metavar="MODEL", help="directory or hub id")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="ends in .pt2")
    for flag, default, what in (
        ("--batch", "1", "texts or images"),
        ("--seq-len", "128", "tokens"),
    ):
        parser.add_argument(
            flag,
            type=_extent,
            default=default,
            metavar="N|1:N",
            help=f"{what}, or the most of them for any batch and length; default: {default}",
        )
    parser.add_argument(
        "--inputs",
        choices=("full", "single"),
        default="full",
        help="full: every input the model takes; single: input_ids alone",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of the reference inputs; default: 0"
    )
    return parser


def _extent(text: str) -> Extent:
    try:
        extent = parse_extent("a size", text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if extent.most < 1:
        raise argparse.ArgumentTypeError(f"{text!r} given: a number from 1 on is needed")
    return extent


def _export(options: argparse.Namespace, path: Path) -> list[str]:
    """Write the archive and return what should be said of it."""
    transformers = import_transformers()
    config = transformers.AutoConfig.from_pretrained(options.model)
    architecture = (getattr(config, "architectures", None) or ["Model"])[0]
    model_class = find_class(transformers, architecture, config.model_type, "MODEL")
    model, loading = model_class.from_pretrained(options.model, output_loading_info=True)
    model = model.eval().float()
    missing = tuple(loading["missing_keys"])
    _forget(model, missing)
    spec = ModelSpec(
        options.model,
        batch=options.batch.most,
        seq_len=options.seq_len.most,
        is_open=options.batch.is_open or options.seq_len.is_open,
    )
    inputs = find_inputs(model, full_config(model), spec.batch, spec.seq_len, options.inputs)
    if spec.is_open:
        check_open(options.model, inputs)
        inputs = [i._replace(axes=OPEN_AXES) for i in inputs]
    shapes = reference_shapes(spec) if spec.is_open else ()
    reference = run_reference(model, inputs, options.seed, shapes)
    left_out = [n for n, value in reference.outputs.items() if not np.isfinite(value).all()]
    reference = reference.without(left_out)
    if not reference.outputs:
        what = f"its checkpoint lacks {missing[0]}" if missing else "its outputs are not finite"
        raise ValueError(what)
    unused = [str(name) for name in loading["unexpected_keys"]]
    write_archive(
        path,
        model,
        options.model,
        inputs,
        reference,
        {"missing": missing if left_out else (), "left_out": left_out, "unused": unused},
        spec.batch,
    )
    said = [f"{', '.join(left_out)} left out, for want of {missing[0]}"] if left_out else []
    most = "up to " if spec.is_open else ""
    names = ", ".join(f"{i.name} {most}{'x'.join(map(str, i.shape))}" for i in inputs)
    return [f"{type(model).__name__}: {names} -> {', '.join(reference.outputs)}", *said]


def _forget(model: Any, names: Sequence[str]) -> None:
    """Make weights that nobody stored show in whatever depends on them."""
    tensors = model.state_dict()
    for name in names:
        if name in tensors and tensors[name].is_floating_point():
            tensors[name].fill_(float("nan"))


def _refuse(message: str) -> int:
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
