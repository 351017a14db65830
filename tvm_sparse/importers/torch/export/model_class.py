"""Which class of transformers a model is of, in PyTorch."""

from __future__ import annotations

from typing import Any


def find_class(transformers: Any, architecture: str, model_type: str, auto_class: str) -> Any:
    """Return the class that config.json names, else the one of its type for the task.

    Parameters
    ----------
    transformers : module
        As `import_transformers` returns it.
    architecture, model_type : str
        As config.json has them.
    auto_class : str
        What transformers calls its table of classes for the task, such as `MODEL`.

    Raises
    ------
    ValueError
        transformers has none.
    """
    named = getattr(transformers, architecture, None)
    # Pretraining heads are left out, and a class of another type would misread the config.
    pretraining = architecture.endswith("ForPreTraining")
    read_type = getattr(getattr(named, "config_class", None), "model_type", None)
    if named is not None and not pretraining and read_type == model_type:
        return named
    from transformers.models.auto import modeling_auto

    table = getattr(modeling_auto, f"{auto_class}_MAPPING_NAMES")
    name = table.get(model_type)
    # Some types list several classes, the plain encoder first.
    name = name[0] if isinstance(name, tuple | list) else name
    if name is None:
        raise ValueError(
            f"transformers {transformers.__version__} has no PyTorch class for model type "
            f"{model_type!r} and this task; where a newer one has it, "
            "python -m tvm_sparse.export_pt2 writes an archive that --model takes"
        )
    return getattr(transformers, name)
