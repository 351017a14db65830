"""`metadata.json` of an artifact: what a build is, needs and takes, as dataclasses.

Free of TVM, so that reports and the command line can read an artifact they do not run.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tvm_sparse.errors import ArtifactError

SCHEMA_VERSION = 1
METADATA_FILE = "metadata.json"
LIBRARY_FILE = "model.so"


@dataclass(frozen=True)
class TensorSpec:
    """Name, static shape and numpy dtype name of one input or output."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class KernelCall:
    """One kernel call of the compiled function.

    Attributes
    ----------
    index : int
        Position among the calls of one inference, built-ins of the virtual machine not counted.
    kernel : str
        Name of the compiled function, shared by all layers of one shape.
    layer : str
        The layer it works for, equal in the dense and the sparse build; empty when none.
    """

    index: int
    kernel: str
    layer: str


@dataclass(frozen=True)
class FileEntry:
    """Checksum and size of one file of the artifact."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ArtifactMetadata:
    """Everything known about a build besides its code and weights.

    Attributes
    ----------
    name, build : str
        Model name, and `dense` or `sparse`.
    model, weights, spec : dict
        Model facts, where the weights come from, and the specs the build was made from.
    isa, required_features : str, tuple of str
        Instruction-set level, and the CPU flags it needs in /proc/cpuinfo's spelling.
    threads : int
        Threads the kernels are laid out for.
    inputs, outputs : tuple of TensorSpec
        The signature, in positional order.
    versions : dict of str to str
        Versions of `tvm`, `ffi` and `tvm_sparse` that made the build.
    decisions : tuple of dict
        One record per weight: sparse or dense, and why.
    sparse_flops_share : float
        Share of the dense layers' FLOPs that runs in sparse kernels, 0..1.
    calls : tuple of KernelCall
        Kernel calls of one inference in order.
    weights_bytes, compile_s : int, float
        Size of the weights in memory, and the time compiling took in seconds.
    entry : str
        Name of the compiled function.
    files : dict of str to FileEntry
        Checksums of the artifact's other files; filled in when it is exported.
    """

    name: str
    build: str
    model: dict[str, Any]
    weights: dict[str, Any]
    spec: dict[str, Any]
    isa: str
    required_features: tuple[str, ...]
    threads: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: dict[str, str]
    decisions: tuple[dict[str, Any], ...] = ()
    sparse_flops_share: float = 0.0
    calls: tuple[KernelCall, ...] = ()
    weights_bytes: int = 0
    compile_s: float = 0.0
    entry: str = "main"
    files: dict[str, FileEntry] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> dict[str, Any]:
        """Return the metadata as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_json(cls, document: Any, origin: str = METADATA_FILE) -> ArtifactMetadata:
        """Return the metadata held by a parsed JSON document.

        Parameters
        ----------
        document : object
            What `json.loads` returned.
        origin : str
            Name of the file, for messages.

        Raises
        ------
        ArtifactError
            If the document has another schema version, or a field is missing or of a wrong type.
        """
        reader = _Reader(document, origin)
        version = reader.get("schema_version", int)
        if version != SCHEMA_VERSION:
            raise ArtifactError(
                f"{origin} has schema version {version}, this tvm_sparse reads version "
                f"{SCHEMA_VERSION}: export the model again, or install the tvm_sparse that made it"
            )
        return cls(
            name=reader.get("name", str),
            build=reader.get("build", str),
            model=reader.get("model", dict),
            weights=reader.get("weights", dict),
            spec=reader.get("spec", dict),
            isa=reader.get("isa", str),
            required_features=tuple(reader.items("required_features", str)),
            threads=reader.get("threads", int),
            inputs=tuple(_tensor_spec(item) for item in reader.readers("inputs")),
            outputs=tuple(_tensor_spec(item) for item in reader.readers("outputs")),
            versions=reader.get("versions", dict),
            decisions=tuple(reader.items("decisions", dict)),
            sparse_flops_share=float(reader.get("sparse_flops_share", int, float)),
            calls=tuple(
                KernelCall(item.get("index", int), item.get("kernel", str), item.get("layer", str))
                for item in reader.readers("calls")
            ),
            weights_bytes=reader.get("weights_bytes", int),
            compile_s=float(reader.get("compile_s", int, float)),
            entry=reader.get("entry", str),
            files={
                name: _file_entry(_Reader(entry, f"{origin}: files.{name}"))
                for name, entry in reader.get("files", dict).items()
            },
        )


class _Reader:
    """Typed access to the fields of a JSON object; every fault names the file and the field."""

    def __init__(self, document: Any, origin: str) -> None:
        if not isinstance(document, dict):
            raise ArtifactError(f"{origin} is not a JSON object: the artifact is damaged")
        self.document = document
        self.origin = origin

    def get(self, key: str, *types: type) -> Any:
        if key not in self.document:
            raise ArtifactError(f"{self.origin} lacks the field {key!r}: the artifact is damaged")
        value = self.document[key]
        if not isinstance(value, types) or isinstance(value, bool):
            wanted = " or ".join(kind.__name__ for kind in types)
            raise ArtifactError(
                f"{self.origin}: field {key!r} is a {type(value).__name__}, {wanted} is needed: "
                "the artifact is damaged"
            )
        return value

    def items(self, key: str, kind: type) -> list[Any]:
        values = self.get(key, list)
        if not all(isinstance(value, kind) and not isinstance(value, bool) for value in values):
            raise ArtifactError(
                f"{self.origin}: field {key!r} holds something that is no {kind.__name__}: "
                "the artifact is damaged"
            )
        return list(values)

    def readers(self, key: str) -> list[_Reader]:
        return [
            _Reader(item, f"{self.origin}: {key}[{index}]")
            for index, item in enumerate(self.get(key, list))
        ]


def _tensor_spec(reader: _Reader) -> TensorSpec:
    return TensorSpec(
        reader.get("name", str), tuple(reader.items("shape", int)), reader.get("dtype", str)
    )


def _file_entry(reader: _Reader) -> FileEntry:
    return FileEntry(reader.get("sha256", str), reader.get("size_bytes", int))


def load_metadata(directory: str | Path) -> ArtifactMetadata:
    """Read the metadata of the artifact in `directory`.

    Raises
    ------
    ArtifactError
        If there is no artifact, or its metadata is damaged or of another schema version.
    """
    directory = Path(directory)
    path = directory / METADATA_FILE
    if not directory.is_dir():
        raise ArtifactError(
            f"no artifact directory {directory}: give a directory that `tvm-sparse export` wrote"
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(
            f"{directory} has no {METADATA_FILE}: give a directory that `tvm-sparse export` wrote"
        ) from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ArtifactError(
            f"{path} is not valid JSON ({error}): the artifact is damaged, export it again"
        ) from None
    return ArtifactMetadata.from_json(document, str(path))
