"""Weights that only PyTorch reads, `pytorch_model.bin`: made safetensors, nothing in them run."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tvm_sparse.errors import CheckpointError
from tvm_sparse.processes.temporary import temporary_directory
from tvm_sparse.sources.checkpoint import CheckpointFiles
from tvm_sparse.sources.mask_scores import option_files


@contextmanager
def as_safetensors(files: CheckpointFiles, directory: Path) -> Iterator[CheckpointFiles]:
    """Return the same weights as safetensors, in a directory that is removed afterwards.

    Parameters
    ----------
    files : CheckpointFiles
        Of the format "bin".
    directory : Path
        Of the checkpoint, with the options of its masks.

    Raises
    ------
    CheckpointError
        A file is damaged, or holds something else than tensors.
    """
    import torch
    from safetensors.torch import save_file

    with temporary_directory() as folder:
        for path in option_files(directory):
            shutil.copyfile(path, folder / path.name)
        paths = []
        for number, path in enumerate(files.paths):
            try:
                # Without `weights_only` a file could run anything.
                state = torch.load(path, map_location="cpu", weights_only=True)
            except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
                # PyTorch's reasons run over lines, of which the first says what is wrong.
                first = (str(error).splitlines() or [type(error).__name__])[0]
                raise CheckpointError(f"{path} cannot be read: {first[:200]}") from None
            if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
                state = state["state_dict"]
            if not isinstance(state, dict) or not state:
                raise CheckpointError(f"{path} holds no weights by name")
            tensors = {
                name: tensor.contiguous().clone()
                for name, tensor in state.items()
                if isinstance(name, str) and isinstance(tensor, torch.Tensor)
            }
            paths.append(folder / f"{number}.safetensors")
            save_file(tensors, paths[-1])
        yield CheckpointFiles("safetensors", tuple(paths))
