"""Load an exported artifact, check that it fits this machine, and run it.

Needs numpy and TVM's runtime library alone. Everything the caller can get wrong is checked before
the virtual machine sees it: TVM itself answers a misaligned or mistyped buffer with a crash.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_sparse.errors import ArtifactError, InputError
from tvm_sparse.host import detect_host
from tvm_sparse.runtime.metadata import (
    LIBRARY_FILE,
    ArtifactMetadata,
    TensorSpec,
    load_metadata,
)
from tvm_sparse.runtime.tvm_runtime import check_versions, load_tvm_ffi, set_threads
from tvm_sparse.runtime.weights import ALIGNMENT_BYTES, map_weights

if TYPE_CHECKING:
    from tvm_sparse.runtime.instrument import ProfiledCall

_DEVICE_CPU, _DEVICE_INDEX, _POOLED_ALLOCATOR = 1, 0, 2


def load(directory: str | os.PathLike[str], threads: int | None = None) -> LoadedModel:
    """Load an artifact that `export` wrote.

    Parameters
    ----------
    directory : str or path
        The artifact directory.
    threads : int or None
        Threads to run on; None takes `TVM_NUM_THREADS` when set and every available core otherwise.

    Returns
    -------
    LoadedModel

    Raises
    ------
    ArtifactError
        If files are missing or damaged, or the build does not fit this CPU or the installed TVM.
    ConfigError
        If the number of threads cannot be had.
    DependencyError
        If TVM's runtime is not installed.
    """
    path = Path(directory)
    metadata = load_metadata(path)
    check_cpu(metadata)
    check_versions(metadata.versions)
    check_files(path, metadata)
    threads = set_threads(threads)
    module, weights = _load_library(path / LIBRARY_FILE)
    return LoadedModel(metadata, module, weights, threads)


def check_cpu(metadata: ArtifactMetadata, features: frozenset[str] | None = None) -> None:
    """Refuse a build that needs CPU features this machine lacks.

    Parameters
    ----------
    metadata : ArtifactMetadata
        Of the build.
    features : frozenset of str or None
        CPU flags to compare with; None means this machine's.

    Raises
    ------
    ArtifactError
        If a required feature is missing.
    """
    host = detect_host()
    available = host.features if features is None else features
    missing = [name for name in metadata.required_features if name not in available]
    if missing:
        raise ArtifactError(
            f"the artifact was built for {metadata.isa}, this CPU ({host.model}) lacks "
            f"{', '.join(missing)}: export the model with --target {host.isa}"
        )


def check_files(directory: Path, metadata: ArtifactMetadata) -> None:
    """Compare the artifact's files with the sizes and checksums in its metadata.

    Raises
    ------
    ArtifactError
        If one is missing, unlisted or differs.
    """
    if LIBRARY_FILE not in metadata.files:
        raise ArtifactError(
            f"the metadata in {directory} does not list {LIBRARY_FILE}: the artifact is damaged, "
            "export it again"
        )
    for name, entry in metadata.files.items():
        path = directory / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing: the artifact is incomplete, export it again")
        size = path.stat().st_size
        if size != entry.size_bytes:
            raise ArtifactError(
                f"{path} has {size} bytes instead of {entry.size_bytes}: the artifact is damaged, "
                "copy or export it again"
            )
        if file_sha256(path) != entry.sha256:
            raise ArtifactError(
                f"{path} does not match its checksum: the artifact is damaged, "
                "copy or export it again"
            )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as hexadecimal digits.

    Raises
    ------
    ArtifactError
        If the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def _load_library(path: Path) -> tuple[Any, list[np.ndarray[Any, Any]]]:
    """Return the TVM module in a shared library, and the weights in it."""
    tvm_ffi = load_tvm_ffi()
    with _own_name(path.resolve()) as name:
        try:
            module = tvm_ffi.load_module(name, keep_module_alive=False)
            return module, map_weights(name)
        except (RuntimeError, ValueError, AttributeError, OSError) as error:
            reason = _first_line(error).rpartition(name)[2].strip(" :")
            raise ArtifactError(
                f"{path} cannot be loaded ({reason}): export the model again"
            ) from None


@contextlib.contextmanager
def _own_name(path: Path) -> Iterator[str]:
    """Yield a name of the file that the dynamic linker has not seen.

    It hands out a library it has loaded under the same name, even when the file was replaced
    since; under a new name it looks at the file.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="tvm_sparse-load-")
    except OSError:
        # No place for temporary files: right as long as the artifact is loaded once.
        yield str(path)
        return
    with folder:
        link = Path(folder.name) / path.name
        link.symlink_to(path)
        yield str(link)


def align(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a contiguous copy of `array` that starts at a multiple of `ALIGNMENT_BYTES`."""
    raw = np.empty(array.nbytes + ALIGNMENT_BYTES, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT_BYTES
    aligned = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[...] = array
    return aligned


class LoadedModel:
    """A compiled model, ready to run; made by `load`.

    Safe to use from several Python threads: each gets a virtual machine of its own, because one
    cannot serve two threads at once. The weights are shared.

    Attributes
    ----------
    metadata : ArtifactMetadata
        What the build is.
    threads : int
        Threads its kernels run on.
    """

    def __init__(
        self,
        metadata: ArtifactMetadata,
        module: Any,
        weights: list[np.ndarray[Any, Any]],
        threads: int,
    ) -> None:
        self.metadata = metadata
        self.threads = threads
        self._module = module
        self._weights = [load_tvm_ffi().from_dlpack(weight) for weight in weights]
        self._local = threading.local()
        self._check_signature(self.machine())

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Names, shapes and dtypes of the inputs."""
        return self.metadata.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Names, shapes and dtypes of the outputs."""
        return self.metadata.outputs

    def __repr__(self) -> str:
        signature = ", ".join(map(str, self.inputs))
        return f"LoadedModel({self.metadata.name}, {self.metadata.build}, {signature})"

    def run(self, **inputs: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
        """Run the model once.

        Parameters
        ----------
        **inputs : numpy.ndarray
            One array per input, of exactly its shape and dtype; strided arrays are fine.

        Returns
        -------
        dict of str to numpy.ndarray
            One array per output, owned by the caller.

        Raises
        ------
        InputError
            If a name, shape or dtype is not the model's.
        """
        result = self.bind(inputs)()
        values = [result] if isinstance(result, load_tvm_ffi().Tensor) else list(result)
        if len(values) != len(self.outputs):
            raise ArtifactError(
                f"the model returned {len(values)} outputs, the metadata lists "
                f"{len(self.outputs)}: the artifact is damaged, export it again"
            )
        # Copies: an output may alias a buffer that the virtual machine still owns.
        return {
            spec.name: np.array(np.from_dlpack(value))
            for spec, value in zip(self.outputs, values, strict=True)
        }

    def profile(
        self, inputs: Mapping[str, np.ndarray[Any, Any]], repeats: int = 10
    ) -> list[ProfiledCall]:
        """Return the median time of every kernel call; see `instrument.measure_calls`."""
        from tvm_sparse.runtime.instrument import measure_calls

        return measure_calls(self, inputs, repeats)

    def bind(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Callable[[], Any]:
        """Check and copy the inputs once and return a call that only runs the model.

        This is what the benchmark times. The call belongs to the calling thread and returns
        TVM's own tensors.

        Raises
        ------
        InputError
            If a name, shape or dtype is not the model's.
        """
        arguments = self.arguments(inputs)
        function = self.machine()[self.metadata.entry]

        def call(_model: LoadedModel = self) -> Any:
            # The default argument keeps the library loaded, whose weights are among the arguments.
            return function(*arguments)

        return call

    def arguments(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> list[Any]:
        """Return what the function takes: the checked inputs as aligned tensors, the weights.

        Raises
        ------
        InputError
            If a name, shape or dtype is not the model's.
        """
        check_inputs(self.inputs, inputs)
        tvm_ffi = load_tvm_ffi()
        tensors = [tvm_ffi.from_dlpack(align(inputs[spec.name])) for spec in self.inputs]
        return [*tensors, *self._weights]

    def machine(self, fresh: bool = False) -> Any:
        """Return the calling thread's virtual machine, or a `fresh` one to instrument."""
        # The thread pool is the calling thread's own, too, and another model may have resized it.
        set_threads(self.threads)
        machine = None if fresh else getattr(self._local, "machine", None)
        if machine is not None:
            return machine
        try:
            machine = self._module["vm_load_executable"]()
            machine["vm_initialization"](_DEVICE_CPU, _DEVICE_INDEX, _POOLED_ALLOCATOR)
        except (RuntimeError, ValueError, AttributeError) as error:
            raise ArtifactError(
                f"{LIBRARY_FILE} holds no model that TVM's runtime can start "
                f"({_first_line(error)}): export the model again"
            ) from None
        if not fresh:
            self._local.machine = machine
        return machine

    def _check_signature(self, machine: Any) -> None:
        """Compare the metadata with the compiled function: no input may land in a wrong slot."""
        entry = self.metadata.entry
        try:
            arity = int(machine["get_function_arity"](entry))
            count = max(arity - len(self._weights), 0)
            names = [str(machine["get_function_param_name"](entry, i)) for i in range(count)]
        except (RuntimeError, ValueError, AttributeError) as error:
            raise ArtifactError(
                f"{LIBRARY_FILE} has no function {entry!r} ({_first_line(error)}): "
                "export the model again"
            ) from None
        expected = [spec.name for spec in self.inputs]
        if names != expected:
            raise ArtifactError(
                f"the metadata lists the inputs {', '.join(expected)}, {LIBRARY_FILE} takes "
                f"{', '.join(names)}: the artifact is damaged, export it again"
            )


def check_inputs(specs: tuple[TensorSpec, ...], inputs: Mapping[str, Any]) -> None:
    """Compare given inputs with a model's signature.

    Parameters
    ----------
    specs : tuple of TensorSpec
        The signature.
    inputs : mapping of str to numpy.ndarray
        What is given.

    Raises
    ------
    InputError
        If an input is missing, unknown, no array, or of another shape or dtype.
    """
    signature = ", ".join(map(str, specs))
    names = [spec.name for spec in specs]
    missing = [name for name in names if name not in inputs]
    unknown = [name for name in inputs if name not in names]
    if missing or unknown:
        faults = [
            f"{what} {', '.join(map(str, which))}"
            for what, which in (("missing", missing), ("unknown", unknown))
            if which
        ]
        raise InputError(f"inputs {' and '.join(faults)}: the model takes {signature}")
    for spec in specs:
        value = inputs[spec.name]
        if not isinstance(value, np.ndarray):
            raise InputError(
                f"input {spec.name} is a {type(value).__name__}, a numpy array is needed: "
                f"pass np.asarray(..., dtype=np.{spec.dtype})"
            )
        if value.shape != spec.shape:
            raise InputError(
                f"input {spec.name} has shape {value.shape}, the build is for {spec.shape}: "
                "pad or cut it, or export the model for that shape"
            )
        if value.dtype != np.dtype(spec.dtype):
            raise InputError(
                f"input {spec.name} is {value.dtype}, {spec.dtype} is needed: "
                f"convert it with .astype(np.{spec.dtype})"
            )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
