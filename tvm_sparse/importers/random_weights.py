"""Seeded weights of a realistic scale, for architectures whose checkpoint is out of reach.

Every value follows from the seed and the variable's name and shape alone, so the same layer gets
the same weights whatever head the model has, and whatever order TensorFlow lists variables in.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping

import numpy as np

from tvm_sparse.importers.layer_places import find_places
from tvm_sparse.model.layer import Place

_STDDEV = 0.02
# What movement pruning leaves are large weights: the small ones are the first to go.
_PRUNED_STDDEV = 0.06
# Density of the last encoder layer over that of the first. Movement pruning empties the late
# layers most (Sanh et al. 2020, "Movement Pruning", figure on the remaining weights per layer).
_LAST_LAYER_DENSITY = 0.3
# Query and key keep relatively more than the wide feed-forward weights.
_MATRIX_DENSITY = {"query": 1.4, "key": 1.4, "value": 0.9, "intermediate": 0.9}
_JITTER = 0.1


def random_value(
    name: str, shape: tuple[int, ...], seed: int, nonzeros: int | None = None
) -> np.ndarray:
    """Return seeded values for one variable, float32 of `shape`.

    Matrices and biases are normal with standard deviation 0.02, scales of norms lie about one,
    convolution kernels keep the variance of their input.

    Parameters
    ----------
    name : str
        The variable's name, e.g. `bert/pooler/dense/kernel`; its last part decides the scale.
    nonzeros : int or None
        Keep only so many values, at random places; None keeps all.
    """
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    last = name.rsplit("/", 1)[-1]
    if nonzeros is not None:
        return _scattered(rng, shape, nonzeros)
    noise = rng.standard_normal(shape, dtype=np.float32)
    if last == "moving_variance":
        return 1.0 + 0.1 * np.abs(noise)
    # NoNorm of MobileBERT calls its scale "weight", as embeddings call their table.
    if last == "gamma" or (last == "weight" and len(shape) == 1):
        return 1.0 + _STDDEV * noise
    if len(shape) == 4:
        return noise * np.float32(np.sqrt(2.0 / np.prod(shape[:3])))
    return noise * np.float32(_STDDEV)


def pruned_nonzeros(
    shapes: Mapping[str, tuple[int, ...]], element_sparsity: float, seed: int
) -> dict[str, int]:
    """Deal the non-zeros of a pruned encoder out over its dense weights.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        All variables of the model; only kernels of encoder layers are pruned.
    element_sparsity : float
        Fraction of zeros over these kernels together, met to one element.
    seed : int
        Seed of the unevenness between matrices.

    Returns
    -------
    dict of str to int
        Non-zeros per pruned kernel: uneven over the layers, as movement pruning leaves them.
    """
    places = {
        name: place
        for name, place in sorted(find_places(shapes).items())
        if place.block is not None and name.endswith("/kernel")
    }
    if not places:
        return {}
    sizes = np.array([np.prod(shapes[name]) for name in places], dtype=np.int64)
    total = round((1.0 - element_sparsity) * int(sizes.sum()))
    last = max(place.block or 0 for place in places.values())
    density = np.array([_relative_density(place, last) for place in places.values()])
    jitter = np.random.default_rng(seed).uniform(1 - _JITTER, 1 + _JITTER, len(places))
    wanted = density * jitter * sizes
    counts = np.zeros_like(sizes)
    # Each round fills in proportion what is left; a full matrix passes its surplus on.
    while (left := total - int(counts.sum())) > 0:
        room = counts < sizes
        share = np.where(room, wanted, 0.0)
        step = np.floor(left * share / share.sum()).astype(np.int64)
        if not step.any():
            step[np.flatnonzero(room)[:left]] = 1
        counts = np.minimum(counts + step, sizes)
    return dict(zip(places, counts.tolist(), strict=True))


def _relative_density(place: Place, last_block: int) -> float:
    depth = (place.block or 0) / max(last_block, 1)
    density = 1.0 + depth * (_LAST_LAYER_DENSITY - 1.0)
    return density * _MATRIX_DENSITY.get(place.role, 1.0)


def _scattered(rng: np.random.Generator, shape: tuple[int, ...], nonzeros: int) -> np.ndarray:
    flat = np.zeros(int(np.prod(shape)), dtype=np.float32)
    values = rng.standard_normal(nonzeros, dtype=np.float32) * np.float32(_PRUNED_STDDEV)
    # A zero among them would make the sparsity wrong by one.
    values[values == 0] = _PRUNED_STDDEV
    flat[rng.choice(flat.size, nonzeros, replace=False, shuffle=False)] = values
    return flat.reshape(shape)
