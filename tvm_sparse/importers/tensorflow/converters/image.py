"""Image resizing, NHWC as TensorFlow has it."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relax

from tvm_sparse.importers.tensorflow.converters.node import (
    Converter,
    Emitter,
    Node,
    Value,
    as_expr,
    known_ints,
    shape_of,
)

op = relax.op

# TF rounds the distance to a pixel to so many steps before it evaluates the cubic kernel.
_CUBIC_STEPS = 1024


def _emit_resize(emit: Emitter, node: Node, x: Value, size: Value) -> tvm.ir.Expr:
    nearest = node.op == "ResizeNearestNeighbor"
    rounding = "floor" if nearest else ""
    if node.attrs.get("align_corners"):
        transform, rounding = "align_corners", "round" if nearest else ""
    elif node.attrs.get("half_pixel_centers"):
        transform = "tf_half_pixel_for_nn" if nearest else "half_pixel"
    else:
        transform = "asymmetric"
    return emit(
        op.image.resize2d(
            as_expr(x),
            tuple(known_ints(node, size, "size")),
            layout="NHWC",
            method="nearest_neighbor" if nearest else "linear",
            coordinate_transformation_mode=transform,
            rounding_method=rounding,
            out_dtype="" if nearest else "float32",
        )
    )


def _emit_bicubic(emit: Emitter, node: Node, x: Value, size: Value) -> tvm.ir.Expr:
    """Multiply rows and columns with the interpolation weights, which are known at import."""
    batch, height, width, channels = shape_of(x)
    rows, cols = known_ints(node, size, "size")
    vertical = relax.const(_cubic_weights(node, height, rows))
    horizontal = relax.const(_cubic_weights(node, width, cols))
    tall = emit(op.matmul(vertical, emit(op.reshape(as_expr(x), (batch, height, -1)))))
    tall = emit(op.reshape(tall, (batch, rows, width, channels)))
    return emit(op.matmul(horizontal, tall))


def _cubic_weights(node: Node, extent: int, wanted: int) -> np.ndarray:
    """Return the (wanted, extent) matrix that interpolates an axis as TF does.

    With half pixel centers the kernel is Keys' (a = -0.5) and pixels outside the image count
    nothing; otherwise a = -0.75 and the border is repeated.
    """
    half_pixel = bool(node.attrs.get("half_pixel_centers"))
    corners = bool(node.attrs.get("align_corners")) and wanted > 1
    scale = (extent - 1) / (wanted - 1) if corners else extent / wanted
    places = np.arange(wanted, dtype="float32")
    shift = np.float32(0.5 if half_pixel else 0)
    centers = (places + shift) * np.float32(scale) - shift
    first = np.floor(centers)
    distance = np.rint((centers - first) * _CUBIC_STEPS) / _CUBIC_STEPS
    weights = np.zeros((wanted, extent))
    for tap in (-1, 0, 1, 2):
        value = _cubic_kernel(np.abs(distance - tap), -0.5 if half_pixel else -0.75)
        pixel = (first + tap).astype(int)
        if half_pixel:
            value = np.where((pixel >= 0) & (pixel < extent), value, 0)
        weights[np.arange(wanted), np.clip(pixel, 0, extent - 1)] += value
    if half_pixel:
        weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype("float32")


def _cubic_kernel(x: np.ndarray, a: float) -> np.ndarray:
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, far)


CONVERTERS: dict[str, Converter] = {
    "ResizeBicubic": Converter(_emit_bicubic, note="as two matrix products"),
    "ResizeBilinear": Converter(_emit_resize),
    "ResizeNearestNeighbor": Converter(_emit_resize),
}
