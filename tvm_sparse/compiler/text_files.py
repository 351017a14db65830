"""Add to an artifact what its model needs to be used on texts."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from tvm_sparse.model.facts import ModelFacts
from tvm_sparse.runtime.metadata import FileEntry, file_sha256, load_metadata, save_metadata
from tvm_sparse.sources.pruned_blocks import REPORT_FILE
from tvm_sparse.text.checkpoint_text import read_text_files
from tvm_sparse.text.tokens import TOKENIZER_FILE


def add_text_files(artifact: Path, facts: ModelFacts) -> None:
    """Add the tokenizer and the pruning record of the checkpoint an artifact was made from.

    The facts about them go into its metadata. Seeded weights have none of these, and some
    checkpoints have no tokenizer: the artifact stays as it is then.

    Parameters
    ----------
    artifact : Path
        The directory, which nobody reads yet.
    facts : ModelFacts
        Of the model.

    Raises
    ------
    InputError
        A file of the checkpoint is damaged.
    OSError
        The directory cannot be written.
    """
    source = Path(facts.weights.source)
    if not facts.weights.trained or not source.is_dir():
        return
    metadata = load_metadata(artifact)
    added: list[str] = []
    if found := read_text_files(source, facts.config):
        text, tokenizer = found
        (artifact / TOKENIZER_FILE).write_text(tokenizer, encoding="utf-8")
        metadata = replace(metadata, text=text)
        added.append(TOKENIZER_FILE)
    if (source / REPORT_FILE).is_file():
        shutil.copyfile(source / REPORT_FILE, artifact / REPORT_FILE)
        added.append(REPORT_FILE)
    entries = {
        name: FileEntry(file_sha256(artifact / name), (artifact / name).stat().st_size)
        for name in added
    }
    if entries:
        save_metadata(artifact, replace(metadata, files={**metadata.files, **entries}))
