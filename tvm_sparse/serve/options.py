"""Options of a task's pipeline that come from outside: known ones, of their types."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any, get_type_hints

import msgspec

from tvm_sparse.serve.refusal import wrong
from tvm_sparse.text.pipelines import Pipeline
from tvm_sparse.text.question_answering import AnswerOptions, QuestionAnswering

#: Clients of sentence-transformers say them, and there is nobody here to be shown anything.
_UNHEARD = ("show_progress_bar",)
#: The format of a string may ask for any width.
_TEMPLATE = "hypothesis_template"


def call(pipeline: Pipeline, *arguments: Any, **options: Any) -> Any:
    """Return what a pipeline answers, if its options are known and of their types.

    Raises
    ------
    Refusal
        They are not.
    InputError, ConfigError
        The pipeline refuses what it is asked.
    """
    check_options(pipeline, options)
    heard = {name: value for name, value in options.items() if name not in _UNHEARD}
    return pipeline(*arguments, **heard)


def check_options(pipeline: Pipeline, options: Mapping[str, Any]) -> None:
    """Refuse options that a pipeline does not have, or of other types.

    Raises
    ------
    Refusal
        Saying which.
    """
    kind: Any = type(pipeline)
    known = option_types(kind)
    for name, value in options.items():
        if name not in known:
            raise wrong(f"unknown parameter '{name[:100]}': there are {', '.join(known) or 'none'}")
        try:
            msgspec.convert(value, known[name])
        except msgspec.ValidationError as error:
            raise wrong(f"parameter '{name}': {str(error).replace('`', '')}") from None
    template = options.get(_TEMPLATE, "{}")
    if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
        raise wrong(f"parameter '{_TEMPLATE}': one {{}} stands for the class, without others")


@functools.cache
def option_types(pipeline: type) -> dict[str, Any]:
    """Return the types of a pipeline's options."""
    if issubclass(pipeline, QuestionAnswering):
        return get_type_hints(AnswerOptions)
    hints = get_type_hints(pipeline.__call__)
    given = inspect.signature(pipeline.__call__).parameters.values()
    names = [one.name for one in given if one.kind is one.KEYWORD_ONLY]
    # Positional in its pipeline, and yet an option: the texts are what is asked.
    names += [name for name in ("candidate_labels",) if name in hints]
    return {name: hints[name] for name in names}
