"""Who trains what: the framework that a model came through, which has its classes."""

from __future__ import annotations

#: The process that trains models of an importer, by the importer's name: a module that answers
#: requests of `distill`. A new one is a folder of this room and an entry here.
TRAINERS = {
    "tensorflow": "tvm_sparse.training.tensorflow.worker",
    "torch": "tvm_sparse.training.torch.worker",
}
