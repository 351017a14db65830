"""The one place that imports TensorFlow and transformers, configured and silent.

Both are imported by the import worker only, never by a process that loads TVM for anything but
building an IRModule: two copies of LLVM in one process abort it.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import Any

# Read by the libraries at import time, so they are set before the import and nowhere else.
# USE_TORCH=0 keeps transformers from importing a CUDA build of PyTorch, whose LLVM collides with
# TVM's; its TF classes need Keras 2, which is the package tf-keras.
ENVIRONMENT = {
    "USE_TORCH": "0",
    "USE_JAX": "0",
    "USE_TF": "1",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GLOG_minloglevel": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}


def import_tensorflow() -> Any:
    """Import TensorFlow with the settings of `ENVIRONMENT` and return the module."""
    os.environ.update(ENVIRONMENT)
    import tensorflow as tf

    tf.get_logger().setLevel(logging.ERROR)
    return tf


def import_transformers() -> Any:
    """Import transformers after TensorFlow, without its notices, and return the module."""
    import_tensorflow()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import transformers
        from transformers.utils import logging as transformers_logging

    # transformers 4.5x announces the end of its TF classes once per model at warning level.
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    return transformers
