#!/usr/bin/env python3
"""What quantised ONNX files give, by ONNX Runtime and by builds of 8 bits of the same file.

    python scripts/check_int8_onnx.py path/to/all-MiniLM-L6-v2

The checkpoint is exported by PyTorch and quantised by ONNX Runtime: as QDQ with static ranges,
found on half of the built-in texts, whole or in attention alone, and dynamically. Errors are those
of the hidden states of all tokens of the other half, against ONNX Runtime on the file in float32. A
build of 8 bits keeps the integers of a file where the sums of a CPU have room for them, or rounds
those rows anew.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
from check_int8 import error_of, run

import tvm_sparse
from tvm_sparse.bench.peers.checkpoint import write_checkpoint
from tvm_sparse.bench.peers.process import PeerProcess
from tvm_sparse.host import detect_host
from tvm_sparse.pruning.calibration import Calibration, built_in_texts
from tvm_sparse.runtime.artifact import load
from tvm_sparse.runtime.metadata import load_metadata
from tvm_sparse.target import resolve_target
from tvm_sparse.text.tokens import load_tokenizer

_BATCH, _LENGTH = 8, 128
_FLOATS = "model.onnx"
#: What quantises the exported graph, in a process of its own.
_QUANTISE = """
import sys
import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

folder = sys.argv[1]
quant_pre_process(f"{folder}/model.onnx", f"{folder}/inferred.onnx", skip_symbolic_shape=True)
batches = list(np.load(f"{folder}/batches.npz", allow_pickle=True)["batches"])

class Texts(CalibrationDataReader):
    def __init__(self):
        self.left = iter(batches)

    def get_next(self):
        return next(self.left, None)

ways = {
    "a scale for each tensor": dict(weight_type=QuantType.QInt8),
    "a scale for each output": dict(weight_type=QuantType.QInt8, per_channel=True),
    "unsigned weights": dict(weight_type=QuantType.QUInt8),
}
graph = onnx.load(f"{folder}/inferred.onnx").graph
weights = {tensor.name for tensor in graph.initializer}
of_attention = [
    node.name for node in graph.node
    if node.op_type == "MatMul" and "/attention/" in node.name and weights & set(node.input)
]
for part, nodes in {"static": None, "static of attention alone": of_attention}.items():
    for name, options in ways.items():
        quantize_static(
            f"{folder}/inferred.onnx", f"{folder}/{part}, {name}.onnx", Texts(), QuantFormat.QDQ,
            op_types_to_quantize=["MatMul", "Gemm"], activation_type=QuantType.QUInt8,
            nodes_to_quantize=nodes,
            extra_options={"WeightSymmetric": options["weight_type"] == QuantType.QInt8}, **options
        )
for name, per_channel in {"each tensor": False, "each output": True}.items():
    quantize_dynamic(
        f"{folder}/inferred.onnx", f"{folder}/dynamic, a scale for {name}.onnx",
        weight_type=QuantType.QInt8, per_channel=per_channel, op_types_to_quantize=["MatMul"],
    )
"""


@click.command(help=__doc__)
@click.argument("model")
def main(model: str) -> None:
    """Print a line for each file and each way to run it."""
    texts = built_in_texts()
    tokenizer = load_tokenizer(model)
    found, judged = (
        Calibration(tokenizer.encode(part, _LENGTH, None), "texts")
        for part in (texts[::2], texts[1::2])
    )
    loaded = tvm_sparse.load_model(model, batch=_BATCH, seq_len=_LENGTH)
    names = [tensor.name for tensor in loaded.facts.inputs]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_checkpoint(folder, loaded)
        PeerProcess("onnx_export", folder, 1, prepare=True).close()
        floats = States(folder / _FLOATS)
        batches = [floats.feeds(arrays) for arrays, _ in found.batches(names, _BATCH)]
        np.savez(folder / "batches.npz", batches=np.array(batches, object))
        subprocess.run([sys.executable, "-c", _QUANTISE, place], check=True)
        given = list(judged.batches(names, _BATCH))
        wanted = [floats(arrays) for arrays, _ in given]
        for file in sorted([*folder.glob("static*.onnx"), *folder.glob("dynamic*.onnx")]):
            print(file.stem, flush=True)
            for way, compute in ways(file):
                pairs = [
                    (compute(arrays), right)
                    for (arrays, _), right in zip(given, wanted, strict=True)
                ]
                errors = error_of(pairs, [counts for _, counts in given])
                print(f"  {way:64} {errors[0]:7.2%} {errors[1]:9.5f}", flush=True)


class States:
    """What computes hidden states by ONNX Runtime."""

    def __init__(self, file: Path) -> None:
        import onnxruntime

        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def feeds(self, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return inputs in the dtypes of the file."""
        taken = {value.name: value.type for value in self._session.get_inputs()}
        return {
            name: arrays[name].astype(np.int64 if "int64" in kind else np.int32)
            for name, kind in taken.items()
        }

    def __call__(self, arrays: dict[str, np.ndarray]) -> np.ndarray:
        """Return the hidden states as float64."""
        return self._session.run(None, self.feeds(arrays))[0].astype(np.float64)


def ways(file: Path) -> Iterator[tuple[str, Callable[[dict[str, np.ndarray]], np.ndarray]]]:
    """Yield the ways to run a file."""
    yield "ONNX Runtime", States(file)
    model = tvm_sparse.load_model(str(file), batch=_BATCH, seq_len=_LENGTH)
    level = detect_host().isa
    for target in [level, *(["native"] if resolve_target().extensions else [])]:
        for rescale in (False, True) if target == level else (True,):
            rounded = tvm_sparse.quantize(model, target=target, rescale=rescale)
            assert rounded.quantization is not None
            notes = list(rounded.quantization.notes.values())
            stored = sum(note == "its integers are as stored" for note in notes)
            made = tvm_sparse.compile(rounded, target=target, builds=("int8",))
            directory = made.directories["int8"]
            in_integers = sum(d.dtype == "int8" for d in load_metadata(directory).decisions)
            anew = (
                "rows too fine for sums rounded anew"
                if rescale
                else "their layers in int16 or float32"
            )
            build = load(directory)
            yield (
                f"int8, {target}: {in_integers} layers in 8 bits, {stored} as stored; {anew}",
                lambda arrays, build=build: run(build, arrays),
            )


if __name__ == "__main__":
    main()
