"""The backends there are, by the file in a directory that each runs."""

from __future__ import annotations

from tvm_sparse.runtime.metadata import LIBRARY_FILE, ArtifactMetadata
from tvm_sparse.serve.backends.artifact import ARTIFACT
from tvm_sparse.serve.backends.backend import Backend
from tvm_sparse.serve.backends.onnxruntime import GRAPH_FILE, ONNXRUNTIME

BACKENDS = {LIBRARY_FILE: ARTIFACT, GRAPH_FILE: ONNXRUNTIME}


def backend_of(metadata: ArtifactMetadata) -> Backend:
    """Return what runs a directory; one without a file that is run is for builds to refuse."""
    return next((BACKENDS[name] for name in metadata.files if name in BACKENDS), ARTIFACT)
