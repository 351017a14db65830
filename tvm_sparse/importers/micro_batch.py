"""How many sequences go through a model together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tvm_sparse.config.model import ModelSpec


def micro_batch_size(
    spec: ModelSpec, inputs: Mapping[str, np.ndarray], results: Mapping[str, np.ndarray]
) -> int:
    """Return the micro-batch that is asked for, the whole batch where a model cannot have another.

    Parameters
    ----------
    spec : ModelSpec
        Of the model.
    inputs, results : mapping of str to ndarray
        Of a whole batch. Images are not divided, nor is anything where an output has no axis of
        sequences at its front.
    """
    fronts = {array.shape[:1] for array in results.values()}
    if spec.is_open or "pixel_values" in inputs or fronts != {(spec.batch,)}:
        return spec.batch
    return spec.micro_batch or spec.batch
