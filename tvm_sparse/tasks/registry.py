"""Every task there is; a new one is a file of this room and a line here."""

from __future__ import annotations

from tvm_sparse.errors import ConfigError, FrontendError
from tvm_sparse.tasks import (
    encoder,
    image_classification,
    masked_lm,
    question_answering,
    sequence_classification,
    token_classification,
)
from tvm_sparse.tasks.task import OnTexts, Task

#: By name.
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        encoder.TASK,
        sequence_classification.TASK,
        token_classification.TASK,
        question_answering.TASK,
        masked_lm.TASK,
        image_classification.TASK,
    )
}


def task_of(architecture: str) -> Task:
    """Return the task of an architecture class such as `BertForQuestionAnswering`.

    Raises
    ------
    FrontendError
        It is none of `TASKS`, a text generator for example.
    """
    for task in TASKS.values():
        # GPT2LMHeadModel and its like end in "Model" too, but write text.
        if architecture.endswith(task.endings) and "Head" not in architecture:
            return task
    raise FrontendError(
        f"architecture {architecture} given: only encoders are imported "
        f"({', '.join(sorted(TASKS))})"
    )


def on_texts(name: str) -> OnTexts:
    """Return how a task is judged on texts.

    Raises
    ------
    ConfigError
        Texts do not judge it.
    """
    task = TASKS.get(name)
    if task is None or task.on_texts is None:
        known = [task.name for task in TASKS.values() if task.on_texts is not None]
        raise ConfigError(f"a model for {name} given: fidelity on texts is for {', '.join(known)}")
    return task.on_texts
