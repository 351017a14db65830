"""`metadata.json` of an artifact: what a build is, needs and takes, as dataclasses.

Free of TVM, so that reports and the command line can read an artifact they do not run.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.quantization import QuantizationSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.errors import ArtifactError
from tvm_sparse.host import memory_bytes
from tvm_sparse.kernel_facts import KernelFacts
from tvm_sparse.model.decision import Decision
from tvm_sparse.model.facts import ModelDescription, TensorSpec, WeightsFacts
from tvm_sparse.model.text_facts import TextFacts
from tvm_sparse.records.checksum import checksum
from tvm_sparse.records.read import check_record, read_json
from tvm_sparse.records.write import write_json

METADATA_FILE = "metadata.json"
LIBRARY_FILE = "model.so"
#: What a standalone artifact carries of TVM, beside licences and what to install from Python.
RUNTIME_FOLDER = "runtime"
RUNTIME_FILE = f"{RUNTIME_FOLDER}/libtvm_runtime.so"
FFI_FILE = f"{RUNTIME_FOLDER}/libtvm_ffi.so"
REQUIREMENTS_FILE = f"{RUNTIME_FOLDER}/requirements.txt"


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
        Path of the layer it works for, to be shown: equal in the dense and the sparse build, with
        `{query,key,value}` for several; empty when none.
    members : tuple of str
        The weights a product multiplies, by their canonical names; empty for everything else.
    facts : KernelFacts
        What it computes.
    """

    index: int
    kernel: str
    layer: str = ""
    members: tuple[str, ...] = ()
    facts: KernelFacts = field(default_factory=KernelFacts)


@dataclass(frozen=True)
class CallTime(KernelCall):
    """A kernel call and its median time.

    Attributes
    ----------
    latency_ms : float
        In milliseconds.
    """

    latency_ms: float = field(kw_only=True)


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
    model : ModelDescription
        Which model.
    weights : WeightsFacts
        Where its weights come from.
    spec : dict
        The specs the build was made from: `model`, `sparsity`, `quantization`, `compile`.
    isa, required_features : str, tuple of str
        Instruction-set level, and the CPU flags it needs in /proc/cpuinfo's spelling.
    threads : int
        Threads the kernels are laid out for.
    inputs, outputs : tuple of TensorSpec
        The signature, in positional order.
    versions : dict of str to str
        Versions of `tvm`, `ffi` and `tvm_sparse` that made the build.
    decisions : tuple of Decision
        One record per weight: sparse or dense, and why.
    flops : int
        Of all the model's products in one inference; 0 if not known.
    sparse_flops_share : float
        Share of the model's FLOPs that runs in sparse kernels, 0..1.
    calls : tuple of KernelCall
        Kernel calls of one inference in order.
    weights_bytes, compile_s : int, float
        Size of the weights in memory, and the time compiling took in seconds.
    entry : str
        Name of the compiled function.
    text : TextFacts or None
        How the model takes texts; None if it has no tokenizer.
    token_tile : int
        Tokens of a tile in a build of any batch and length, whose function takes a tile map
        (`runtime.tile_map`) after its inputs; 0 in a build of one shape.
    mixes_tokens : str
        The operator that keeps sequences of different lengths from sharing a run: it computes
        across the tokens of rows that are padded. Empty if there is none.
    files : dict of str to FileEntry
        Checksums of the artifact's other files; filled in when it is exported.
    checksum : str
        SHA-256 of all the other fields, see `records.checksum`; filled in when it is exported.
    """

    schema_version: Literal[4] = field(default=4, kw_only=True)
    name: str
    build: str
    model: ModelDescription
    weights: WeightsFacts
    spec: dict[str, Any]
    isa: str
    required_features: tuple[str, ...]
    threads: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    versions: dict[str, str]
    decisions: tuple[Decision, ...] = ()
    flops: int = 0
    sparse_flops_share: float = 0.0
    calls: tuple[KernelCall, ...] = ()
    weights_bytes: int = 0
    compile_s: float = 0.0
    entry: str = "main"
    text: TextFacts | None = None
    token_tile: int = 0
    mixes_tokens: str = ""
    files: dict[str, FileEntry] = field(default_factory=dict)
    checksum: str = ""

    @property
    def is_open(self) -> bool:
        """Whether each run decides about its shapes."""
        return self.token_tile > 0

    @property
    def signature(self) -> str:
        """The function's name, inputs and outputs in one line, as the library holds it too."""
        inputs, outputs = (", ".join(map(str, specs)) for specs in (self.inputs, self.outputs))
        return f"{self.entry}({inputs}) -> {outputs}"

    @property
    def block_sparsity(self) -> float:
        """Share of zero blocks over the layers that run sparse, 0 when none does.

        A model that comes pruned keeps its own zeros, whatever sparsity was asked for.
        """
        sparse = [d for d in self.decisions if d.action == "sparse"]
        sizes = [d.shape[0] * d.shape[1] for d in sparse]
        zeros = sum((d.block_sparsity or 0.0) * size for d, size in zip(sparse, sizes, strict=True))
        return round(zeros / sum(sizes), 4) if sizes else 0.0

    @property
    def is_standalone(self) -> bool:
        """Whether it carries TVM's runtime libraries."""
        return RUNTIME_FILE in self.files


@dataclass(frozen=True)
class _Specs:
    """What `ArtifactMetadata.spec` holds."""

    model: ModelSpec
    sparsity: SparsitySpec | None
    compile: CompileSpec
    quantization: QuantizationSpec | None = None


def save_metadata(directory: Path, metadata: ArtifactMetadata) -> None:
    """Write the metadata of an artifact, with its checksum.

    Raises
    ------
    BuildError
        If the file cannot be written.
    """
    document = asdict(metadata)
    write_json(directory / METADATA_FILE, {**document, "checksum": checksum(document)})


def load_metadata(directory: str | Path) -> ArtifactMetadata:
    """Read the metadata of the artifact in `directory`.

    Raises
    ------
    ArtifactError
        If there is no artifact, or its metadata is damaged, edited or of another schema version.
    """
    directory = Path(directory)
    path = directory / METADATA_FILE
    if not directory.is_dir():
        raise ArtifactError(
            f"no artifact directory {directory}: give a directory that `tvm-sparse export` wrote"
        )
    if not path.is_file():
        raise ArtifactError(
            f"{directory} has no {METADATA_FILE}: give a directory that `tvm-sparse export` wrote"
        )
    advice = "the artifact is damaged, or of another version of tvm_sparse: export the model again"
    document = read_json(path, ArtifactError, advice)
    metadata = check_record(document, ArtifactMetadata, str(path), ArtifactError, advice)
    check_record(metadata.spec, _Specs, f"{path}: spec", ArtifactError, advice)
    for spec in (*metadata.inputs, *metadata.outputs):
        if spec.size_bytes > memory_bytes():
            raise ArtifactError(f"{path}: {spec} does not fit into this machine's memory: {advice}")
    if metadata.checksum != checksum(document):
        raise ArtifactError(
            f"{path} does not match its checksum: it was changed after the export, copy or export "
            "the artifact again"
        )
    return metadata


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
