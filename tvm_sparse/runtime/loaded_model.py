"""A compiled model in memory, ready to run.

Everything the caller can get wrong is checked before the virtual machine sees it.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tvm_sparse.model.facts import TensorSpec
from tvm_sparse.runtime.crew import on_threads, own_threads
from tvm_sparse.runtime.inputs import Array, align
from tvm_sparse.runtime.instrument import Observer, Watch, measure_calls, trace_calls
from tvm_sparse.runtime.machine import check_arity, new_machine
from tvm_sparse.runtime.metadata import ArtifactMetadata, CallTime
from tvm_sparse.runtime.micro_batch import MicroBatch
from tvm_sparse.runtime.model_shapes import shapes_of
from tvm_sparse.runtime.on_texts import open_texts
from tvm_sparse.runtime.tvm_runtime import load_tvm_ffi
from tvm_sparse.text.sentence_embedding import SentenceEmbedding
from tvm_sparse.text.text_model import TextModel


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
        weights: list[Array],
        threads: int,
        check_ids: bool = True,
        directory: Path | None = None,
    ) -> None:
        self.metadata = metadata
        self.threads = threads
        self._directory = directory
        self._shapes = shapes_of(metadata, threads, check_ids)
        self._module = module
        self._weights = [load_tvm_ffi().from_dlpack(weight) for weight in weights]
        machine = new_machine(self._module)
        inputs = len(self.inputs) + metadata.is_open  # the tile map
        check_arity(machine, metadata.entry, inputs, len(weights))
        # Virtual machines that nobody runs, each with its function.
        self._idle = [(machine, machine[metadata.entry])]
        self._on_others: dict[int, LoadedModel] = {}

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

    def own_threads(self) -> None:
        """Have the calling thread run this model itself; see `crew.own_threads`."""
        own_threads(self.threads)

    def on(self, threads: int) -> LoadedModel:
        """Return this model on another number of threads; it shares weights and machines.

        Parameters
        ----------
        threads : int
            Cores of this machine, no more than it was loaded for.
        """
        if threads == self.threads:
            return self
        found = self._on_others.get(threads)
        if found is None:
            found = copy.copy(self)
            found.threads = threads
            found._shapes = shapes_of(self.metadata, threads, self._shapes.check_ids)
            found._on_others = {}  # no circle: it goes with this one
            self._on_others[threads] = found
        return found

    def run(self, **inputs: Any) -> dict[str, Array]:
        """Run the model once.

        Parameters
        ----------
        **inputs : array_like
            A rectangle of numbers per input: lists or arrays of any integer dtype and strides. Its
            batch and its length are at most those of the build; a build of one shape computes on
            more than is given then, and cuts its outputs. Without `attention_mask` all tokens
            count, without `token_type_ids` all are of the first segment.

        Returns
        -------
        dict of str to numpy.ndarray
            One array per output, owned by the caller.

        Raises
        ------
        InputError
            If a name, shape or number is not the model's, or an id is none of its.
        """
        parts = self._shapes.rectangle(inputs)
        batch = sum(len(part.lengths) for part in parts)
        seq_len = parts[0].lengths[0]
        whole: dict[str, Array] = {}

        def collect(part: MicroBatch, values: list[Array]) -> None:
            for spec, value in zip(self._shapes.outputs, values, strict=True):
                found = value[part.within(spec)]
                if len(parts) == 1:
                    whole[spec.name] = np.array(found)
                    continue
                if spec.name not in whole:
                    whole[spec.name] = np.empty(spec.shape_at(batch, seq_len), spec.dtype)
                whole[spec.name][part.place(spec)] = found

        self._call(parts, collect)()
        return whole

    def run_ragged(self, sequences: Sequence[Any], **more: Sequence[Any]) -> list[dict[str, Array]]:
        """Run the model on sequences of different lengths, without computing on padding.

        Parameters
        ----------
        sequences : sequence of array_like
            The first input of each sequence, its ids (tokens,).
        **more : sequence of array_like
            Further inputs of each sequence, as long as its ids; see `run`.

        Returns
        -------
        list of dict of str to numpy.ndarray
            The outputs of each sequence, exactly what `run` computes of it alone, without the axis
            of the batch.

        Raises
        ------
        InputError
            If a name, length or number is not the model's, or the model mixes the tokens of a
            sequence where they do not lie in tiles.
        """
        parts = self._shapes.ragged(sequences, more)
        results: list[dict[str, Array]] = [{} for _ in sequences]

        def collect(part: MicroBatch, values: list[Array]) -> None:
            for spec, value in zip(self._shapes.outputs, values, strict=True):
                for index, place in enumerate(part.places):
                    results[place][spec.name] = np.array(value[part.of_sequence(spec, index)])

        self._call(parts, collect)()
        return results

    def computed_tokens(self, lengths: Sequence[int]) -> int:
        """Return on how many tokens `run_ragged` computes for sequences of some lengths."""
        return self._shapes.computed_tokens(lengths)

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

    def profile(self, inputs: Mapping[str, Array], repeats: int = 10) -> list[CallTime]:
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
        watched = self._watched(self._shapes.rectangle(inputs))
        return measure_calls(watched, self.metadata.calls, repeats)

    def trace(self, inputs: Mapping[str, Array], observe: Observer) -> None:
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
        watched = self._watched(self._shapes.rectangle(inputs, whole=True))
        trace_calls(watched, self.metadata.calls, observe)

    def bind(self, inputs: Mapping[str, Any]) -> Callable[[], None]:
        """Check and copy the inputs once and return a call that only runs the model.

        This is what the benchmark times.

        Raises
        ------
        InputError
            As `run` does.
        """
        return self._call(self._shapes.rectangle(inputs), lambda _part, _values: None)

    def _call(
        self, parts: list[MicroBatch], collect: Callable[[MicroBatch, list[Array]], None]
    ) -> Callable[[], None]:
        """Return a call that runs the model and hands what it returns to `collect`."""
        prepared = [(part, self._arguments(part)) for part in parts]

        def job() -> None:
            try:
                machine, function = self._idle.pop()
            except IndexError:
                machine = new_machine(self._module)
                function = machine[self.metadata.entry]
            for part, arguments in prepared:
                # Read before the machine runs again: an output may alias a buffer of it.
                collect(part, _values(function(*arguments)))
            self._idle.append((machine, function))

        return lambda: on_threads(self.threads, job)

    def _watched(self, parts: list[MicroBatch]) -> Callable[[Watch], Callable[[], None]]:
        """Return what makes a call of the model that reports to a watch.

        Each call has a virtual machine of its own: the model's stay unwatched.
        """
        prepared = [self._arguments(part) for part in parts]

        def watched(watch: Watch) -> Callable[[], None]:
            machine = new_machine(self._module)
            machine["set_instrument"](load_tvm_ffi().convert(watch))
            function = machine[self.metadata.entry]

            def run(_machine: Any = machine) -> None:
                # The default argument keeps the machine alive as long as its function is in use.
                for arguments in prepared:
                    function(*arguments)

            return lambda: on_threads(self.threads, run)

        return watched

    def _arguments(self, part: MicroBatch) -> list[Any]:
        """Return what the function takes: aligned tensors, then the weights."""
        tvm_ffi = load_tvm_ffi()
        tensors = [tvm_ffi.from_dlpack(align(value)) for value in part.arguments]
        return [*tensors, *self._weights]


def _values(result: Any) -> list[Array]:
    """Return views of what the virtual machine returned."""
    values = [result] if isinstance(result, load_tvm_ffi().Tensor) else list(result)
    return [np.from_dlpack(value) for value in values]
