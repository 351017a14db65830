"""The other engines: what each is called, needs, and has to offer to be measured."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tvm_sparse.errors import check_word

Inputs = Mapping[str, NDArray[Any]]
#: fp32 engines add in different orders; INT8 is not held to this, its error is shown.
TOLERANCE = 1e-3


class PeerModel(ABC):
    """A checkpoint loaded by another engine; its class lives in that engine's module.

    Its `facts` are JSON-ready: how it runs, such as operator counts.
    """

    facts: dict[str, Any]

    @abstractmethod
    def bind(self, inputs: Inputs) -> Callable[[], Any]:
        """Put inputs in place and return a call that only runs the model."""

    @abstractmethod
    def outputs(self, result: Any) -> dict[str, NDArray[Any]]:
        """Return what a bound call returned as arrays by output name."""

    def run(self, **inputs: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Run once."""
        return self.outputs(self.bind(inputs)())


@dataclass(frozen=True)
class Engine:
    """One way of running a checkpoint outside of this package.

    Attributes
    ----------
    name, label
        As `--engines` takes it, and as a table shows it.
    module
        Module of this room with `load(checkpoint, threads, name) -> PeerModel`.
    distributions
        What has to be installed; the first one's version is recorded.
    prepares
        Modules of this room whose `prepare(checkpoint)` runs first, once per checkpoint.
    precision : {"fp32", "int8"}
        Of the products.
    is_rival
        Whether it counts as an open dense fp32 engine to be compared with.
    has_streams
        Whether models in several threads of a process keep to the cores of their threads.
    """

    name: str
    label: str
    module: str
    distributions: tuple[str, ...]
    prepares: tuple[str, ...] = ()
    precision: str = "fp32"
    is_rival: bool = True
    has_streams: bool = False

    def missing(self) -> list[str]:
        """Return the distributions that are not installed."""
        return [name for name in self.distributions if installed_version(name) is None]

    @property
    def version(self) -> str | None:
        """Installed version, None when it is not installed."""
        return installed_version(self.distributions[0])


# ONNX graphs are exported by PyTorch, as their users do.
_EXPORTER = ("torch", "transformers", "onnx")
_FUSED = ("onnx_export", "onnxruntime")
_INSTALLED = ("onnxruntime", ("onnxruntime", *_EXPORTER))
_ONNXRUNTIME = (*_INSTALLED, _FUSED)
_ONNXRUNTIME_INT8 = (*_INSTALLED, (*_FUSED, "onnxruntime_int8"))
_OPENVINO = ("openvino", ("openvino", *_EXPORTER), ("onnx_export",))
_TENSORFLOW = ("tensorflow", "tf-keras", "transformers")
_TORCH = ("torch", "transformers")

ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("onnxruntime", "ONNX Runtime, fused", *_ONNXRUNTIME, has_streams=True),
        Engine(
            "onnxruntime-int8",
            "ONNX Runtime, dynamic INT8",
            *_ONNXRUNTIME_INT8,
            precision="int8",
            is_rival=False,
            has_streams=True,
        ),
        Engine(
            "onnxruntime-int8-channel",
            "ONNX Runtime, dynamic INT8 per channel",
            *_ONNXRUNTIME_INT8,
            precision="int8",
            is_rival=False,
            has_streams=True,
        ),
        Engine("openvino", "OpenVINO, LATENCY", *_OPENVINO),
        Engine(
            "openvino-int8",
            "OpenVINO, INT8 (NNCF)",
            "openvino_int8",
            ("openvino", "nncf", *_EXPORTER),
            ("onnx_export", "openvino_int8"),
            precision="int8",
            is_rival=False,
        ),
        Engine("torch", "PyTorch eager", "torch", _TORCH),
        Engine("torch-compile", "PyTorch compiled", "torch", _TORCH),
        Engine("tensorflow", "TensorFlow", "tensorflow", _TENSORFLOW, is_rival=False),
    )
}


def find_engines(names: Iterable[str]) -> list[Engine]:
    """Return the engines of these names.

    Raises
    ------
    ConfigError
        If there is no engine of a name.
    """
    names = list(names)
    for name in names:
        check_word("engine", name, ENGINES)
    return [ENGINES[name] for name in names]


def load_peer(module: str, directory: Path, threads: int, name: str) -> PeerModel:
    """Load a checkpoint (or a product) with the engine in `module`."""
    model: PeerModel = _import(module).load(directory, threads, name)
    return model


def prepare_peer(module: str, directory: Path) -> None:
    """Have the engine in `module` write into the checkpoint directory what loading needs."""
    _import(module).prepare(directory)


def installed_version(distribution: str) -> str | None:
    """Return the installed version of a distribution, None when there is none."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _import(module: str) -> Any:
    return importlib.import_module(f"tvm_sparse.bench.peers.{module}")
