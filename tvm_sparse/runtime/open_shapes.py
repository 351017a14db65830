"""The inputs of a build of any batch and length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm_sparse.errors import InputError
from tvm_sparse.runtime.inputs import Array
from tvm_sparse.runtime.micro_batch import MicroBatch
from tvm_sparse.runtime.shapes import Shapes
from tvm_sparse.runtime.tile_map import make_tile_map, micro_batches


@dataclass(frozen=True)
class OpenShapes(Shapes):
    """What a build of any batch and length takes.

    Attributes
    ----------
    token_tile : int
        Tokens of a tile.
    threads : int
        Threads of a run.
    mixes_tokens : str
        What keeps sequences of different lengths from sharing a run, see `ArtifactMetadata`.
    """

    token_tile: int
    threads: int
    mixes_tokens: str

    def split(self, lengths: Sequence[int]) -> list[slice]:
        """Return micro-batches for the threads of the run."""
        return micro_batches(lengths, self.threads)

    def pack(self, values: list[Array], places: Any, lengths: tuple[int, ...]) -> MicroBatch:
        """Return a micro-batch of the inputs as they are, with its tile map."""
        return MicroBatch([*values, make_tile_map(lengths, self.token_tile)], places, lengths)

    def computed_tokens(self, lengths: Sequence[int]) -> int:
        """Return the tokens of all tiles."""
        return sum(-(-length // self.token_tile) for length in lengths) * self.token_tile

    def check_ragged(self) -> None:
        """Refuse lengths of many kinds, where padding would change what is computed."""
        if self.mixes_tokens:
            raise InputError(
                f"{self.mixes_tokens} of this model computes across the tokens of padded rows: "
                "sequences of different lengths cannot share a run, run those of one length"
            )
