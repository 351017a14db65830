"""A compiled model in memory, ready to run.

Everything the caller can get wrong is checked before the virtual machine sees it: TVM itself
answers a misaligned or mistyped buffer with a crash.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tvm_sparse.errors import ArtifactError, InputError
from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.crew import on_threads
from tvm_sparse.runtime.instrument import Observer, Watch, measure_calls, trace_calls
from tvm_sparse.runtime.metadata import LIBRARY_FILE, ArtifactMetadata, CallTime
from tvm_sparse.runtime.on_texts import open_texts
from tvm_sparse.runtime.tvm_runtime import first_line, load_tvm_ffi
from tvm_sparse.runtime.weights import ALIGNMENT_BYTES
from tvm_sparse.text.sentence_embedding import SentenceEmbedding
from tvm_sparse.text.text_model import TextModel

T = TypeVar("T")

_DEVICE_CPU, _DEVICE_INDEX, _POOLED_ALLOCATOR = 1, 0, 2


class LoadedModel:
    """A compiled model, ready to run; made by `load`.

    Safe to use from several Python threads, and in a process forked after it was loaded. As many
    runs as the cores have room for go on at once, others wait (`runtime.crew`); each has a virtual
    machine to itself, and all share the weights.

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
        check_ids: bool = True,
        directory: Path | None = None,
    ) -> None:
        self.metadata = metadata
        self.threads = threads
        self._directory = directory
        self._check_ids = check_ids
        self._module = module
        self._weights = [load_tvm_ffi().from_dlpack(weight) for weight in weights]
        machine = self._new_machine()
        self._check_arity(machine)
        # Virtual machines that nobody runs, each with its function.
        self._idle = [(machine, machine[metadata.entry])]

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
            If a name, shape or dtype is not the model's, or an id is none of its.
        """
        return self._bind(inputs, self._read)()

    @functools.cached_property
    def text(self) -> TextModel:
        """The model with its tokenizer, which is read at first use; see `open_texts`."""
        return open_texts(self, self.metadata, self._directory)

    def encode(self, texts: str | Iterable[str], **options: Any) -> np.ndarray[Any, Any]:
        """Return sentence embeddings.

        Parameters
        ----------
        texts : str or iterable of str
            One text, or several.
        **options
            Of `text.sentence_embedding.SentenceEmbedding`: batch_size, show_progress_bar,
            normalize_embeddings, prompt_name, prompt.

        Returns
        -------
        numpy.ndarray
            float32 (texts, H), of one text (H,).

        Raises
        ------
        InputError
            If the artifact has no tokenizer, its model returns no hidden states, or what is given
            is no text.
        """
        return SentenceEmbedding(self.text)(texts, **options)

    def profile(
        self, inputs: Mapping[str, np.ndarray[Any, Any]], repeats: int = 10
    ) -> list[CallTime]:
        """Return the median time of every kernel call.

        Parameters
        ----------
        inputs : mapping of str to numpy.ndarray
            What to run on.
        repeats : int
            Inferences that are timed, at least 1; one more is run before them.

        Raises
        ------
        InputError
            If an input does not fit the model.
        ArtifactError
            If the metadata lists other kernel calls than are made.
        """
        return measure_calls(self._watched(inputs), self.metadata.calls, repeats)

    def trace(self, inputs: Mapping[str, np.ndarray[Any, Any]], observe: Observer) -> None:
        """Run once and hand every kernel call's result to `observe`.

        Parameters
        ----------
        inputs : mapping of str to numpy.ndarray
            What to run on.
        observe : callable
            Gets the call and its result in the layout the kernels use; the array is only valid
            during the call.

        Raises
        ------
        InputError
            If an input does not fit the model.
        ArtifactError
            If the metadata lists other kernel calls than are made.
        """
        trace_calls(self._watched(inputs), self.metadata.calls, observe)

    def bind(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> Callable[[], None]:
        """Check and copy the inputs once and return a call that only runs the model.

        This is what the benchmark times.

        Raises
        ------
        InputError
            If a name, shape or dtype is not the model's, or an id is none of its.
        """
        return self._bind(inputs, lambda _result: None)

    def _bind(
        self, inputs: Mapping[str, np.ndarray[Any, Any]], read: Callable[[Any], T]
    ) -> Callable[[], T]:
        """Return a call that runs the model and reads what the virtual machine returned."""
        arguments = self._arguments(inputs)

        def job() -> T:
            try:
                machine, function = self._idle.pop()
            except IndexError:
                machine = self._new_machine()
                function = machine[self.metadata.entry]
            # Read before another run gets the machine: an output may alias a buffer of it.
            result = read(function(*arguments))
            self._idle.append((machine, function))
            return result

        return lambda: on_threads(self.threads, job)

    def _read(self, result: Any) -> dict[str, np.ndarray[Any, Any]]:
        """Return copies of the outputs by name."""
        values = [result] if isinstance(result, load_tvm_ffi().Tensor) else list(result)
        return {
            spec.name: np.array(np.from_dlpack(value))
            for spec, value in zip(self.outputs, values, strict=True)
        }

    def _watched(
        self, inputs: Mapping[str, np.ndarray[Any, Any]]
    ) -> Callable[[Watch], Callable[[], None]]:
        """Return what makes a call of the model that reports to a watch.

        Each call has a virtual machine of its own: the model's stay unwatched.
        """
        arguments = self._arguments(inputs)

        def watched(watch: Watch) -> Callable[[], None]:
            machine = self._new_machine()
            machine["set_instrument"](load_tvm_ffi().convert(watch))
            function = machine[self.metadata.entry]

            def run(_machine: Any = machine) -> None:
                # The default argument keeps the machine alive as long as its function is in use.
                function(*arguments)

            return lambda: on_threads(self.threads, run)

        return watched

    def _arguments(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> list[Any]:
        """Return what the function takes: the checked inputs as aligned tensors, the weights."""
        check_inputs(self.inputs, inputs)
        if self._check_ids:
            check_ids(self.inputs, inputs)
        tvm_ffi = load_tvm_ffi()
        tensors = [tvm_ffi.from_dlpack(align(inputs[spec.name])) for spec in self.inputs]
        return [*tensors, *self._weights]

    def _new_machine(self) -> Any:
        try:
            machine = self._module["vm_load_executable"]()
            machine["vm_initialization"](_DEVICE_CPU, _DEVICE_INDEX, _POOLED_ALLOCATOR)
        except (RuntimeError, ValueError, AttributeError) as error:
            raise ArtifactError(
                f"{LIBRARY_FILE} holds no model that TVM's runtime can start "
                f"({first_line(error)}): export the model again"
            ) from None
        return machine

    def _check_arity(self, machine: Any) -> None:
        """Refuse a function that takes another number of inputs and weights than there are."""
        entry = self.metadata.entry
        try:
            arity = int(machine["get_function_arity"](entry))
        except (RuntimeError, ValueError, AttributeError) as error:
            raise ArtifactError(
                f"{LIBRARY_FILE} has no function {entry!r} ({first_line(error)}): "
                "export the model again"
            ) from None
        if arity != len(self.inputs) + len(self._weights):
            raise ArtifactError(
                f"{LIBRARY_FILE} takes {arity} tensors, there are {len(self.inputs)} inputs and "
                f"{len(self._weights)} weights: the artifact is damaged, export it again"
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


def check_ids(specs: tuple[TensorSpec, ...], inputs: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Refuse ids that a model has no row for: it would take another one in silence.

    Parameters
    ----------
    specs : tuple of TensorSpec
        The signature.
    inputs : mapping of str to numpy.ndarray
        What `check_inputs` found right.

    Raises
    ------
    InputError
        If an id is negative or too large.
    """
    for spec in specs:
        if spec.below is None:
            continue
        value = inputs[spec.name]
        # As unsigned numbers negative ones are the largest: one look tells both.
        if value.view(f"u{value.itemsize}").max(initial=0) >= spec.below:
            where = tuple(map(int, np.argwhere((value < 0) | (value >= spec.below))[0]))
            raise InputError(
                f"input {spec.name} holds {value[where]} at {list(where)}, the model has 0 to "
                f"{spec.below - 1}: use the tokenizer that belongs to it"
            )


def align(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a contiguous copy of `array` that starts at a multiple of `ALIGNMENT_BYTES`."""
    raw = np.empty(array.nbytes + ALIGNMENT_BYTES, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT_BYTES
    aligned = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    aligned[...] = array
    return aligned
