"""The cost model: how long a model takes at a sparsity, from a few times of its kernels.

    latency(sparsity) = what stays as it is + sum over products of their sparse kernel's time

What stays is measured: a profile of the dense build less the products that would run sparse. A
kernel's time between the densities it was timed at follows a line, since it walks its non-zero
blocks; its efficiency against the roofline tells how much of the machine it uses.

Pure functions of numbers: nothing here measures, and nothing imports TVM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from tvm_sparse.formats.weight_format import WeightFormat
from tvm_sparse.tuning.kernel_fit import KernelFit

#: Where sparsities are searched for, and how finely: a tenth of a percent.
_SEARCH_STEPS = 1000


@dataclass(frozen=True)
class Product:
    """Products of one model that run the same kernel.

    Parameters
    ----------
    name : str
        Name of the kernel group.
    calls : int
        How often one inference calls it.
    units, depth : int
        N outputs and K inputs.
    dense_ms : float
        Time of one dense call in the model, in milliseconds.
    dense_form, sparse_form : WeightFormat
        How its weight is packed in the dense and in the sparse build.
    passes : int
        How many of the calls read the same weight: the micro-batches of an inference.
    """

    name: str
    calls: int
    units: int
    depth: int
    dense_ms: float
    dense_form: WeightFormat
    sparse_form: WeightFormat
    passes: int = 1


@dataclass(frozen=True)
class Prediction:
    """What a build would take.

    Attributes
    ----------
    latency_ms : float
        One inference.
    parts_ms : dict of str to float
        Its parts: products, attention, norms, rest.
    products_ms : dict of str to float
        One call of each product that runs sparse, by name.
    weights_bytes : int
        Weights in memory.
    """

    latency_ms: float
    parts_ms: dict[str, float]
    products_ms: dict[str, float]
    weights_bytes: int


@dataclass(frozen=True)
class CostModel:
    """Predicts the builds of one model with one block shape, at one input shape and thread count.

    Parameters
    ----------
    block_shape : (int, int)
        (bs_r, bs_c).
    dense_ms : float
        Latency of the dense build.
    dense_weights_bytes : int
        Its weights.
    parts_ms : mapping of str to float
        Its time by part; they add up to `dense_ms`.
    products : tuple of Product
        Those that would run sparse.
    fits : mapping of str to KernelFit
        Their sparse kernels, by name.
    part_scale : mapping of str to float
        By how much a part grows because the sparse build lays tokens out differently.
    """

    block_shape: tuple[int, int]
    dense_ms: float
    dense_weights_bytes: int
    parts_ms: Mapping[str, float]
    products: tuple[Product, ...]
    fits: Mapping[str, KernelFit]
    part_scale: Mapping[str, float]

    def predict(self, sparsity: float) -> Prediction:
        """Return the prediction at a block sparsity of 0..1."""
        density = 1 - sparsity
        times = {product.name: self.fits[product.name].at(density) for product in self.products}
        parts = {name: ms * self.part_scale.get(name, 1.0) for name, ms in self.parts_ms.items()}
        change = sum(p.calls * (times[p.name] - p.dense_ms) for p in self.products)
        # A profile's products may come out a little under their sum: no part is negative.
        parts["products"] = max(parts["products"] + change, 0.0)
        return Prediction(sum(parts.values()), parts, times, self._weights_bytes(density))

    def latency_ms(self, sparsity: float) -> float:
        """Return the predicted latency alone."""
        return self.predict(sparsity).latency_ms

    def _weights_bytes(self, density: float) -> int:
        change = 0.0
        for product in self.products:
            shape = (product.units, product.depth)
            sparse = product.sparse_form.size_bytes(shape, self.block_shape, density)
            weights = product.calls // product.passes
            change += weights * (sparse - product.dense_form.size_bytes(shape))
        return round(self.dense_weights_bytes + change)


def amdahl_limit(dense_ms: float, products_ms: float) -> float:
    """Return the speed-up if the products took no time at all; infinite if nothing else does.

    Parameters
    ----------
    dense_ms : float
        Latency of the dense build.
    products_ms : float
        How much of it are products that could run sparse.
    """
    rest_ms = dense_ms - products_ms
    return dense_ms / rest_ms if rest_ms > 0 else float("inf")


def least_sparsity(latency_ms: Callable[[float], float], target_ms: float) -> float | None:
    """Return the smallest sparsity from which on the latency stays at or below a target.

    Parameters
    ----------
    latency_ms : callable
        Latency by sparsity, 0..1.
    target_ms : float
        What is to be reached.

    Returns
    -------
    float or None
        To a tenth of a percent; None if even a sparsity of 0.999 does not reach it.
    """
    grid = [step / _SEARCH_STEPS for step in range(_SEARCH_STEPS)]
    least = None
    for sparsity in reversed(grid):
        if latency_ms(sparsity) > target_ms:
            break
        least = sparsity
    return least


def correction(model: CostModel, speedups: Mapping[float, float]) -> Callable[[float], float]:
    """Return by what a predicted latency is multiplied, after what was measured around it.

    Parameters
    ----------
    model : CostModel
        What predicted it.
    speedups : mapping of float to float
        Measured speed-ups over dense by sparsity. Between them the factor follows a line; outside
        it stays.
    """
    if not speedups:
        return lambda _: 1.0
    places = sorted(speedups)
    factors = [model.dense_ms / speedups[place] / model.latency_ms(place) for place in places]
    return lambda sparsity: float(np.interp(sparsity, places, factors))


def corrected(model: CostModel, speedups: Mapping[float, float]) -> Callable[[float], float]:
    """Return latency by sparsity, bent to go through what was measured; see `correction`."""
    factor = correction(model, speedups)
    return lambda sparsity: model.latency_ms(sparsity) * factor(sparsity)
