"""How far builds of 8 bits are off on texts, with and without smoothing.

    python scripts/check_int8.py path/to/all-MiniLM-L6-v2 [--text FILE] [--sparsity 0.5]

Without texts the passages of the built-in sample are parted: every second one smooths, the others
are what errors are measured on. Errors are of all tokens of all texts, padding left out.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import tvm_sparse
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.host import detect_host
from tvm_sparse.model.model import Model
from tvm_sparse.pruning.calibration import Calibration, built_in_texts
from tvm_sparse.runtime.artifact import load
from tvm_sparse.sizes import parse_block_shapes
from tvm_sparse.target import resolve_target
from tvm_sparse.text.texts import read_texts
from tvm_sparse.text.tokens import load_tokenizer

_BATCH = 8


def main() -> None:
    """Print a line for each way to round."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--text", help="texts to measure on; the built-in ones then all smooth")
    parser.add_argument("--seq-len", type=int, default=128)
    parser.add_argument("--sparsity", type=float, help="prune by magnitude first")
    parser.add_argument("--block", default="4x4")
    options = parser.parse_args()
    texts = built_in_texts()
    smoothing, judged = texts[::2], texts[1::2]
    if options.text:
        smoothing, judged = texts, read_texts(options.text)
    model = tvm_sparse.load_model(options.model, batch=_BATCH, seq_len=options.seq_len)
    builds = ("dense", "int8")
    if options.sparsity:
        (block,) = parse_block_shapes(options.block)
        model = tvm_sparse.sparsify(
            model,
            sparsity=options.sparsity,
            block_shape=block,
            prune="magnitude",
            select="threshold",
        )
        builds = ("dense", "int8-sparse")
    tokens = load_tokenizer(options.model).encode(judged, options.seq_len, None)
    calibration = Calibration(tokens, "texts")
    print(f"{len(judged)} texts, {int(tokens.arrays['attention_mask'].sum())} tokens")
    print(
        f"{'target':16} {'scheme':10} {'smoothed':9} {'L2':>7} "
        f"{'cosine of tokens':>17} {'of texts':>9}"
    )
    level = detect_host().isa
    targets = [level, *(["native"] if resolve_target().extensions else [])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "smoothing.txt"
        file.write_text("\n".join(smoothing), encoding="utf-8")
        for target in targets:
            for scheme in ("int8", "int8-fast") if target == level else ("int8",):
                for text in (None, str(file)):
                    spec = QuantizationSpec(scheme, calibration=text, samples=len(smoothing))
                    names = [name.replace("int8", scheme) for name in builds]
                    found = errors(model, spec, target, names, calibration)
                    print(
                        f"{target:16} {scheme:10} {'yes' if text else 'no':9} {found[0]:7.2%} "
                        f"{found[1]:17.5f} {found[2]:9.5f}",
                        flush=True,
                    )


def errors(
    model: Model, spec: QuantizationSpec, target: str, names: list[str], texts: Calibration
) -> tuple[float, float, float]:
    """Return relative L2 and mean cosine of hidden states, and mean cosine of their means."""
    rounded = tvm_sparse.quantize(model, spec, target=target)
    made = tvm_sparse.compile(rounded, target=target, builds=names).directories
    dense, other = (load(made[name]) for name in names)
    inputs = [tensor.name for tensor in dense.inputs]
    pairs, counted, means = [], [], []
    for arrays, counts in texts.batches(inputs, _BATCH):
        found, wanted = (run(build, arrays) for build in (other, dense))
        pairs.append((found, wanted))
        counted.append(counts)
        live = counts.any(axis=1)
        pooled = [(states * counts[..., None]).sum(axis=1)[live] for states in (found, wanted)]
        means.append(cosine(*pooled))
    return *error_of(pairs, counted), float(np.mean(np.concatenate(means)))


def error_of(
    pairs: list[tuple[np.ndarray, np.ndarray]], counts: list[np.ndarray]
) -> tuple[float, float]:
    """Return relative L2 and mean cosine of the tokens that count."""
    gap = sum(float(np.square(a - b)[c].sum()) for (a, b), c in zip(pairs, counts, strict=True))
    size = sum(float(np.square(b)[c].sum()) for (_, b), c in zip(pairs, counts, strict=True))
    near = [cosine(a, b)[c] for (a, b), c in zip(pairs, counts, strict=True)]
    return (gap / size) ** 0.5, float(np.mean(np.concatenate(near)))


def run(build, arrays) -> np.ndarray:
    """Return the hidden states as float64."""
    return next(iter(build.run(**arrays).values())).astype(np.float64)


def cosine(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return cosines along the last axis."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.asarray((one * other).sum(axis=-1) / lengths)


if __name__ == "__main__":
    main()
