"""ONNX Runtime's graphs in dynamic INT8, made of the fused one."""

from __future__ import annotations

from pathlib import Path

from tvm_sparse.bench.peers.onnxruntime import FUSED_FILE, INT8_FILES


def prepare(checkpoint: Path) -> None:
    """Quantise the fused graph in both ways, each into a file of its own."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for name, file in INT8_FILES.items():
        quantize_dynamic(
            str(checkpoint / FUSED_FILE),
            str(checkpoint / file),
            weight_type=QuantType.QInt8,
            per_channel=name.endswith("channel"),
            # Shape inference does not know the types behind the fused operators.
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
