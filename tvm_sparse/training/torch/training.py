"""A training of PyTorch's, of whatever class of transformers the model is."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.importers.torch.export.archive import prefix_of
from tvm_sparse.importers.torch.export.huggingface import load_with_gaps
from tvm_sparse.importers.torch.names import canonical_name
from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.training.state import TrainingState
from tvm_sparse.training.torch.losses import distance
from tvm_sparse.training.training import CLIP_NORM, EPSILON, FIRST, SECOND, Training

#: What a model is asked for, where its `forward` knows the word.
_SWITCHES = {"output_hidden_states": True, "return_dict": True, "use_cache": False}


def begin(
    source: ModelSource,
    params: Mapping[str, np.ndarray],
    masked: Collection[str],
    spec: Mapping[str, Any],
    progress: Progress,
) -> TorchTraining:
    """Return a training from its beginning; see `train_request.Begin`.

    Raises
    ------
    CheckpointError
        `params` are no weights of the model.
    """
    teacher, _ = load_with_gaps(source, spec["seed"])
    student = copy.deepcopy(teacher)
    return TorchTraining(student, teacher, params, masked, spec["learning_rate"], spec["steps"])


class TorchTraining(Training):
    """Both are modules of PyTorch, the student a copy that takes `params` and is trained."""

    def __init__(
        self,
        student: Any,
        teacher: Any,
        params: Mapping[str, np.ndarray],
        masked: Collection[str],
        learning_rate: float,
        steps: int,
    ) -> None:
        import torch

        self._student, self._teacher = student, teacher.requires_grad_(False)
        self._weights = _assigned(student, params)
        tables = [m.weight for m in student.modules() if isinstance(m, torch.nn.Embedding)]
        untrained = {id(table) for table in tables}
        self._trained = {
            name: weight
            for name, weight in self._weights.items()
            if weight.is_floating_point()
            and "embeddings" not in name.split("/")
            and id(weight) not in untrained
        }
        self._masks = {name: self._trained[name].detach() != 0 for name in masked}
        self._first, self._second = (
            {name: torch.zeros_like(weight) for name, weight in self._trained.items()}
            for _ in range(2)
        )
        self._learning_rate, self._steps, self._done = learning_rate, steps, 0
        self._accepted = inspect.signature(student.forward).parameters
        takes_any = any(p.kind is p.VAR_KEYWORD for p in self._accepted.values())
        self._switches = {
            name: value for name, value in _SWITCHES.items() if takes_any or name in self._accepted
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(tensor.shape) for name, tensor in self._arrays().items()}

    def save(self, state: TrainingState) -> None:
        state.arrays = {name: _array(tensor) for name, tensor in self._arrays().items()}

    def restore(self, state: TrainingState) -> None:
        import torch

        for name, tensor in self._arrays().items():
            tensor.copy_(torch.from_numpy(state.arrays[name]))
        self._done = state.step

    def loss(self, features: Mapping[str, np.ndarray]) -> float:
        return float(self._loss(features))

    def update(self, features: Mapping[str, np.ndarray]) -> float:
        import torch

        with torch.enable_grad():
            loss = self._loss(features)
            weights = list(self._trained.values())
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
        found = {
            name: gradient * self._masks[name] if name in self._masks else gradient
            for name, gradient in zip(self._trained, gradients, strict=True)
            if gradient is not None  # a pooler that no loss reads has none
        }
        norm = torch.stack([gradient.norm() for gradient in found.values()]).norm()
        share = CLIP_NORM / float(norm.clamp(min=CLIP_NORM))
        rate = self._learning_rate * (1 - self._done / self._steps)
        self._done += 1
        rate *= (1 - SECOND**self._done) ** 0.5 / (1 - FIRST**self._done)
        for name, gradient in found.items():
            first = self._first[name].mul_(FIRST).add_(gradient, alpha=share * (1 - FIRST))
            second = self._second[name].mul_(SECOND)
            second.addcmul_(gradient, gradient, value=share**2 * (1 - SECOND))
            # A masked weight has no gradient, so no moments, so it stays what it is: zero.
            self._trained[name].data.addcdiv_(first, second.sqrt().add_(EPSILON), value=-rate)
        return float(loss)

    def params(self) -> dict[str, np.ndarray]:
        return {name: _array(weight) for name, weight in self._weights.items()}

    def _arrays(self) -> dict[str, Any]:
        groups = {"value": self._trained, "first": self._first, "second": self._second}
        return {
            f"{kind}/{name}": tensor.detach()
            for kind, group in groups.items()
            for name, tensor in group.items()
        }

    def _loss(self, features: Mapping[str, np.ndarray]) -> Any:
        import torch

        inputs = {name: torch.from_numpy(value).long() for name, value in features.items()}
        given = {name: value for name, value in inputs.items() if name in self._accepted}
        with torch.no_grad():
            wanted = self._teacher(**given, **self._switches)
        found = self._student(**given, **self._switches)
        return distance(found, wanted, inputs["attention_mask"])


def _assigned(model: Any, params: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Give a model the weights of these names, and return its tensors by them.

    Raises CheckpointError if it has none of a name, or one of another shape.
    """
    import torch

    prefix = prefix_of(model)
    tensors = {
        canonical_name(name, prefix): tensor
        for name, tensor in model.state_dict(keep_vars=True).items()
    }
    for name, value in params.items():
        shape = tuple(tensors[name].shape) if name in tensors else None
        if shape != value.shape:
            what = "does not have it" if shape is None else f"has it with shape {shape}"
            raise CheckpointError(
                f"weight {name} of shape {value.shape} given: the model {what}; the weights are "
                "those of another model"
            )
        tensors[name].data.copy_(torch.from_numpy(value))
    return {name: tensors[name] for name in params}


def _array(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().numpy())
