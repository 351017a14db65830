"""Classes for an image."""

from __future__ import annotations

from tvm_sparse.tasks.task import Task

TASK = Task("image-classification", ("ForImageClassification",), "MODEL_FOR_IMAGE_CLASSIFICATION")
