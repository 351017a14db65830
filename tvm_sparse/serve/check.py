"""Whether what a configuration names can be served, as far as that shows without loading it."""

from __future__ import annotations

from tvm_sparse.config.quantization import BUILT_IN
from tvm_sparse.errors import ConfigError
from tvm_sparse.runtime.metadata import ArtifactMetadata, load_metadata
from tvm_sparse.serve.backends.registry import backend_of
from tvm_sparse.serve.config import ServeConfig
from tvm_sparse.serve.exported import is_to_be_exported
from tvm_sparse.serve.model_config import ExportConfig, ModelConfig
from tvm_sparse.text.pipelines import choose_task
from tvm_sparse.text.texts import read_texts


def check_config(config: ServeConfig) -> list[str]:
    """Return a line on each model that is served.

    Raises
    ------
    ArtifactError, ConfigError, DependencyError, InputError
        One cannot be, with its place in the configuration.
    """
    config.threads()
    lines = []
    for index, one in enumerate(config.models):
        if is_to_be_exported(one):
            if one.export is not None:
                _check_export(one.export, f"models[{index}].export")
            lines.append(f"{one.name}: {one.model}, to be exported first")
            continue
        metadata, task = check_model(one, f"models[{index}]")
        lines.append(f"{one.name}: {metadata.name}, {metadata.build}, {task or 'tensors'}")
    return lines


def _check_export(settings: ExportConfig, where: str) -> None:
    """Refuse what exporting would refuse when it is under way.

    Raises
    ------
    ConfigError
        Something says how to round, and nothing that it is to be done.
    InputError
        The calibration text cannot be read.
    """
    if settings.quantize is None:
        for name in ("calibration", "int8_error", "rescale"):
            if getattr(settings, name):
                raise ConfigError(f"{where}.{name} given without quantize: give int8 or int8-fast")
    elif settings.calibration not in (None, BUILT_IN):
        read_texts(settings.calibration)


def check_model(one: ModelConfig, where: str) -> tuple[ArtifactMetadata, str | None]:
    """Return a model's metadata and the task it is asked, None if it takes tensors alone.

    Parameters
    ----------
    one : ModelConfig
        The model.
    where : str
        Its place in the configuration, for messages.

    Raises
    ------
    ArtifactError, DependencyError
        It is no artifact, or its packages are not installed.
    ConfigError
        It is not for the task, or has no tokenizer.
    """
    metadata = load_metadata(one.model)
    backend_of(metadata).check(metadata)
    if metadata.text is None and one.task is None:
        return metadata, None
    try:
        task = choose_task(metadata.model, one.task)
    except ConfigError as error:
        raise ConfigError(f"{where}.task: {error}") from None
    if metadata.text is None:
        raise ConfigError(
            f"{where}.task: {task} given, the artifact in {one.model} has no tokenizer: leave it "
            "out, and it takes tensors"
        )
    return metadata, task
