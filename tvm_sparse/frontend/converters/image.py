"""Image resizing, NHWC as TensorFlow has it."""

from __future__ import annotations

import tvm
from tvm import relax

from tvm_sparse.frontend.converters.node import Converter, Emitter, Node, Value, as_expr, known_ints

op = relax.op


def _emit_resize(emit: Emitter, node: Node, x: Value, size: Value) -> tvm.ir.Expr:
    method = {
        "ResizeBicubic": "cubic",
        "ResizeBilinear": "linear",
        "ResizeNearestNeighbor": "nearest_neighbor",
    }[node.op]
    nearest = method == "nearest_neighbor"
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
            method=method,
            coordinate_transformation_mode=transform,
            rounding_method=rounding,
            # TF's cubic kernel with half pixel centers is Keys' (a = -0.5), weights outside the
            # image left out; the old one has a = -0.75 and repeats the border.
            cubic_alpha=-0.5 if node.attrs.get("half_pixel_centers") else -0.75,
            cubic_exclude=1 if node.attrs.get("half_pixel_centers") else 0,
            out_dtype="" if nearest else "float32",
        )
    )


CONVERTERS: dict[str, Converter] = {
    "ResizeBicubic": Converter(_emit_resize),
    "ResizeBilinear": Converter(_emit_resize),
    "ResizeNearestNeighbor": Converter(_emit_resize),
}
