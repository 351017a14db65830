"""The process that trains a model of PyTorch's; see `train_request` for what it is asked."""

from __future__ import annotations

from typing import Any

from tvm_sparse.importers.torch.export.quiet_torch import import_transformers
from tvm_sparse.processes.serve import serve
from tvm_sparse.progress import Progress
from tvm_sparse.training.torch.training import begin
from tvm_sparse.training.train_request import train_request


def _train(request: dict[str, Any], progress: Progress) -> dict[str, Any]:
    progress("starting PyTorch")
    import_transformers()
    import torch

    if request["threads"]:
        torch.set_num_threads(request["threads"])
    return train_request(request, begin, progress)


if __name__ == "__main__":
    serve(_train)
