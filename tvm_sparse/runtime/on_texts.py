"""An artifact's model together with the tokenizer beside it."""

from __future__ import annotations

from pathlib import Path

from tvm_sparse.errors import ArtifactError, InputError
from tvm_sparse.runtime.metadata import ArtifactMetadata, file_sha256
from tvm_sparse.text.batches import Runnable
from tvm_sparse.text.text_model import TextModel
from tvm_sparse.text.tokens import TOKENIZER_FILE


def open_texts(model: Runnable, metadata: ArtifactMetadata, directory: Path | None) -> TextModel:
    """Return a loaded model as one that takes texts.

    Parameters
    ----------
    model : LoadedModel
        The model.
    metadata : ArtifactMetadata
        Of its artifact.
    directory : Path or None
        Where that is.

    Raises
    ------
    InputError
        It has no tokenizer, or takes no texts.
    ArtifactError
        The tokenizer is not the one that was exported.
    """
    facts = metadata.text
    if facts is None or directory is None:
        raise InputError(
            f"the artifact of {metadata.name} has no tokenizer: export a checkpoint that has "
            "tokenizer.json or vocab.txt beside its weights"
        )
    path, entry = directory / TOKENIZER_FILE, metadata.files.get(TOKENIZER_FILE)
    if entry is None or file_sha256(path) != entry.sha256:
        raise ArtifactError(f"{path} is not the one that was exported: export the model again")
    together = not metadata.mixes_tokens
    return TextModel(model, metadata.model, facts, directory, together)
