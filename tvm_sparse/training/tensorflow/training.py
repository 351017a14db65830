"""A training of TensorFlow's: both models in keras, each step traced once."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from tvm_sparse.errors import CheckpointError
from tvm_sparse.importers.tensorflow.graphdef import variable_name
from tvm_sparse.importers.tensorflow.huggingface import load_model
from tvm_sparse.importers.tensorflow.quiet_tensorflow import import_tensorflow
from tvm_sparse.progress import Progress
from tvm_sparse.sources.source import ModelSource
from tvm_sparse.training.state import TrainingState
from tvm_sparse.training.tensorflow.losses import distance
from tvm_sparse.training.training import CLIP_NORM, EPSILON, FIRST, SECOND, Training


def begin(
    source: ModelSource,
    params: Mapping[str, np.ndarray],
    masked: Collection[str],
    spec: Mapping[str, Any],
    progress: Progress,
) -> TensorFlowTraining:
    """Return a training from its beginning; see `train_request.Begin`.

    Raises
    ------
    CheckpointError
        `params` are no weights of the model.
    """
    teacher, student = (load_model(source, spec["seed"]) for _ in range(2))
    assign_params(student, params)
    progress("tracing the training step")
    return TensorFlowTraining(student, teacher, masked, spec["learning_rate"], spec["steps"])


class TensorFlowTraining(Training):
    """Both are keras models built alike; the student's variables are trained in place."""

    def __init__(
        self, student: Any, teacher: Any, masked: Collection[str], learning_rate: float, steps: int
    ) -> None:
        tf = import_tensorflow()
        self.student, self.teacher = student, teacher
        self.variables = {
            name: variable
            for name, variable in named_variables(student).items()
            if variable.trainable and "embeddings" not in name.split("/")
        }
        self._masks = {
            name: tf.constant((self.variables[name].numpy() != 0).astype(np.float32))
            for name in masked
            if name in self.variables
        }
        self._first, self._second = (
            {name: tf.Variable(tf.zeros_like(v)) for name, v in self.variables.items()}
            for _ in range(2)
        )
        self._learning_rate, self._steps = learning_rate, steps
        self._step = tf.Variable(0.0)
        accepted = set(inspect.signature(student.call).parameters)
        wanted = {"output_hidden_states": True, "return_dict": True, "training": False}
        self._switches = {name: value for name, value in wanted.items() if name in accepted}
        # Traced once: autograph has nothing to turn into graph control flow here.
        self._traced_update = tf.function(self._update, autograph=False)
        self._traced_loss = tf.function(self._loss, autograph=False)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(variable.shape) for name, variable in self._arrays().items()}

    def save(self, state: TrainingState) -> None:
        state.arrays = {name: variable.numpy() for name, variable in self._arrays().items()}

    def restore(self, state: TrainingState) -> None:
        for name, variable in self._arrays().items():
            variable.assign(state.arrays[name])
        self._step.assign(float(state.step))

    def loss(self, features: Mapping[str, np.ndarray]) -> float:
        return float(self._traced_loss(_tensors(features)))

    def update(self, features: Mapping[str, np.ndarray]) -> float:
        return float(self._traced_update(_tensors(features)))

    def params(self) -> dict[str, np.ndarray]:
        return {name: v.numpy() for name, v in named_variables(self.student).items()}

    def _arrays(self) -> dict[str, Any]:
        groups = {"value": self.variables, "first": self._first, "second": self._second}
        return {f"{kind}/{name}": v for kind, group in groups.items() for name, v in group.items()}

    def _loss(self, features: Mapping[str, Any]) -> Any:
        takes = set(inspect.signature(self.student.call).parameters)
        call = {name: value for name, value in features.items() if name in takes} | self._switches
        return distance(self.student(**call), self.teacher(**call), features["attention_mask"])

    def _update(self, features: Mapping[str, Any]) -> Any:
        tf = import_tensorflow()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in self.variables.values():
                tape.watch(variable)
            loss = self._loss(features)
        gradients = tape.gradient(loss, self.variables)
        found = {
            name: tf.convert_to_tensor(gradient) * self._masks.get(name, 1.0)
            for name, gradient in gradients.items()
            if gradient is not None  # a pooler that no loss reads has none
        }
        clipped, _ = tf.clip_by_global_norm(list(found.values()), CLIP_NORM)
        done = self._step
        rate = self._learning_rate * (1 - done / self._steps)
        rate *= tf.sqrt(1 - SECOND ** (done + 1)) / (1 - FIRST ** (done + 1))
        for name, gradient in zip(found, clipped, strict=True):
            first, second = self._first[name], self._second[name]
            first.assign(FIRST * first + (1 - FIRST) * gradient)
            second.assign(SECOND * second + (1 - SECOND) * tf.square(gradient))
            # A masked weight has no gradient, so no moments, so it stays what it is: zero.
            self.variables[name].assign_sub(rate * first / (tf.sqrt(second) + EPSILON))
        self._step.assign_add(1.0)
        return loss


def _tensors(features: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tf = import_tensorflow()
    return {name: tf.constant(value) for name, value in features.items()}


def named_variables(model: Any) -> dict[str, Any]:
    """Return a model's variables by the names that an import gives them."""
    named: dict[str, Any] = {}
    for variable in model.variables:
        name = unique = variable_name(model, variable)
        count = 1
        while unique in named:
            unique, count = f"{name}_{count}", count + 1
        named[unique] = variable
    return named


def assign_params(model: Any, params: Mapping[str, np.ndarray]) -> None:
    """Give a model's variables the weights of these names.

    Raises CheckpointError if it has no variable of a name, or one of another shape.
    """
    variables = named_variables(model)
    for name, value in params.items():
        shape = tuple(variables[name].shape) if name in variables else None
        if shape != value.shape:
            what = "does not have it" if shape is None else f"has it with shape {shape}"
            raise CheckpointError(
                f"weight {name} of shape {value.shape} given: the model {what}; the weights are "
                "those of another model"
            )
        variables[name].assign(value)
