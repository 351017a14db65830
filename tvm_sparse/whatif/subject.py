"""The model of a study: imported once per input shape or once for all, and built."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tvm_sparse.bench.inputs import inputs_of
from tvm_sparse.cache.store import Cache
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.config.sparsity import SparsitySpec
from tvm_sparse.formats.builds import DENSE, BuildSpec
from tvm_sparse.importers.import_model import ir_key
from tvm_sparse.importers.load_model import load_model
from tvm_sparse.model.model import Arrays, Model
from tvm_sparse.progress import Progress, silent
from tvm_sparse.sources.architecture import check_input
from tvm_sparse.sources.source import ModelSource, resolve_source
from tvm_sparse.sparsity.sparsify import sparsify
from tvm_sparse.tuning.records import Records
from tvm_sparse.tuning.setting import Setting
from tvm_sparse.tuning.tuned_tiles import load_tiles
from tvm_sparse.whatif.grid import Point


@dataclass(frozen=True)
class Fill:
    """How the weights of the points become sparse.

    Parameters
    ----------
    seed : int
        Seed of the random block structure.
    include, exclude : tuple of str
        Shell patterns of layers, see `SparsitySpec`.
    """

    seed: int = 0
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def spec(self, point: Point) -> SparsitySpec:
        """Return the spec of a point: every eligible layer runs sparse, whatever its sparsity."""
        return SparsitySpec(
            sparsity=point.sparsity,
            block_shape=point.block_shape,
            sparsity_threshold=0.0,
            prune="random",
            seed=self.seed,
            include=self.include,
            exclude=self.exclude,
        )


class Subject:
    """Builds of one model.

    Parameters
    ----------
    spec : ModelSpec
        The model; its batch and seq_len are replaced by those of each setting.
    cache : Cache
        Imports and builds.
    fill : Fill
        How points become sparse.
    progress : callable
        Receives one line a step.

    Attributes
    ----------
    tiles : Tiles
        What tuning found on this machine, which all builds use.
    """

    def __init__(
        self,
        spec: ModelSpec,
        cache: Cache,
        fill: Fill,
        progress: Progress = silent,
    ) -> None:
        self.spec, self.cache, self.fill, self._progress = spec, cache, fill, progress
        self.tiles = load_tiles(Records(cache, progress))
        self._source: ModelSource | None = None
        self._loaded: tuple[ModelSpec, Model] | None = None

    def model_spec(self, setting: Setting) -> ModelSpec:
        """Return the model's spec at a setting; one for all settings of an open build."""
        if setting.limits is not None:
            batch, seq_len = setting.limits
            return replace(self.spec, seq_len=seq_len, batch=batch, is_open=True)
        return replace(
            self.spec,
            seq_len=setting.seq_len,
            batch=setting.batch,
            micro_batch=setting.micro_batch,
        )

    def source(self, setting: Setting) -> ModelSource:
        """Return where the model comes from; checks that it allows the sizes of the input."""
        if self._source is None:
            self._source = resolve_source(self.model_spec(setting), self._progress)
        source = self._source
        batch, seq_len = setting.limits or (setting.batch, setting.seq_len)
        check_input(source.name, source.config, source.task, batch, seq_len)
        return source

    def import_key(self, setting: Setting) -> str:
        """Return the key of the import in the cache, which need not exist."""
        return ir_key(self.model_spec(setting), self.source(setting))

    def is_imported(self, setting: Setting) -> bool:
        """Whether the cache has the import."""
        return self.cache.get("ir", self.import_key(setting)) is not None

    def identity(self, point: Point) -> dict[str, Any]:
        """Return what the build of a point depends on, but for the code that makes it."""
        return {
            "ir": self.import_key(point.setting),
            "setting": asdict(point.setting),
            "sparsity": asdict(self.fill.spec(point)),
            "tiles": asdict(self.tiles),
        }

    def load(self, setting: Setting) -> Model:
        """Return the model at a setting, importing it if the cache has none.

        Raises
        ------
        FrontendError, CacheError, BuildError
            See `errors`.
        """
        spec = self.model_spec(setting)
        if self._loaded is not None and self._loaded[0] == spec:
            return self._loaded[1]
        # Before the next one is loaded: two models at once need not fit.
        self._loaded = None
        model = load_model(spec, self.cache, self._progress, self.source(setting))
        self._loaded = spec, model
        return model

    def inputs(self, setting: Setting) -> Arrays:
        """Return what builds are measured on at a setting."""
        model = self.load(setting)
        if not setting.is_open:
            return model.reference.inputs
        facts, shape = model.facts, (setting.batch, setting.seq_len)
        return inputs_of(facts.inputs, shape, self.spec.seed)

    def pruned(self, point: Point) -> Model:
        """Return the model with a point's zeros, also if it comes with zeros of its own."""
        model, spec = self.load(point.setting), self.fill.spec(point)
        params = sparsify(model.params, model.layers, spec, keep_own_zeros=False)
        return replace(model, params=params, sparsity=spec)

    def build_dense(self, setting: Setting) -> Path:
        """Return the artifact directory of the dense build, checked against TensorFlow."""
        return self.build(self.load(setting), DENSE)

    def build(self, model: Model, build: BuildSpec) -> Path:
        """Return the artifact directory of a build of the model, pruned or as it is."""
        from tvm_sparse.compiler.build_cache import build_artifact

        artifact = build_artifact(
            model, build, CompileSpec(), progress=self._progress, tiles=self.tiles
        )
        return artifact.directory
