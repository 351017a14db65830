"""Which shapes an artifact takes, from its metadata."""

from __future__ import annotations

from tvm_sparse.runtime.fixed_shape import FixedShape, with_axes
from tvm_sparse.runtime.metadata import ArtifactMetadata
from tvm_sparse.runtime.open_shapes import OpenShapes
from tvm_sparse.runtime.shapes import Shapes

#: Outputs (batch, seq_len) that hold one number a token.
_OF_TOKENS = ("start_logits", "end_logits")


def shapes_of(metadata: ArtifactMetadata, threads: int, check_ids: bool) -> Shapes:
    """Return what an artifact takes when it runs on so many threads."""
    inputs, outputs = metadata.inputs, metadata.outputs
    rows = (inputs[0].below if inputs else None) or 1
    pad_id = metadata.model.config.get("pad_token_id")
    pad_id = pad_id if isinstance(pad_id, int) and 0 <= pad_id < rows else 0
    if metadata.is_open:
        tile, mixes = metadata.token_tile, metadata.mixes_tokens
        return OpenShapes(inputs, outputs, pad_id, check_ids, tile, threads, mixes)
    spec = metadata.spec["model"]
    batch, seq_len = int(spec["batch"]), int(spec["seq_len"])
    # ELECTRA's discriminator tells of every token whether it was replaced.
    by_token = metadata.model.architecture.endswith("ForPreTraining")
    of_tokens = (*_OF_TOKENS, "logits") if by_token else _OF_TOKENS
    return FixedShape(
        with_axes(inputs, batch, seq_len, tuple(spec.name for spec in inputs)),
        with_axes(outputs, batch, seq_len, of_tokens),
        pad_id,
        check_ids,
    )
