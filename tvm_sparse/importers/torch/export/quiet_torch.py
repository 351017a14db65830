"""The one place that sets PyTorch and transformers up, silent.

They are imported in processes that never import TVM.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

# Read by the libraries at import time, so they are set before the import and nowhere else.
ENVIRONMENT = {
    "USE_TORCH": "1",
    "USE_TF": "0",
    "USE_JAX": "0",
    "CUDA_VISIBLE_DEVICES": "",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


def import_transformers() -> Any:
    """Import PyTorch, then transformers without its notices, and return the module."""
    os.environ.update(ENVIRONMENT)
    warnings.simplefilter("ignore")
    import torch
    import transformers
    from transformers.utils import logging as transformers_logging

    torch.set_grad_enabled(False)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    return transformers
