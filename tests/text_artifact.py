"""Artifacts that take texts, made without TensorFlow: hidden states are looked up by the token."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from made_models import make_model
from text_checkpoints import MODELS, make_tokenizer
from tiny_artifact import tiny_metadata

import tvm_sparse
from tvm_sparse.api.builds import Builds
from tvm_sparse.compiler.export import export_artifact
from tvm_sparse.config.compile import CompileSpec
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.model.facts import ModelDescription, TensorSpec, WeightsFacts
from tvm_sparse.tasks.registry import task_of

BATCH, SEQ_LEN, WIDTH = 2, 24, 8
MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


def write_sentence_files(folder: Path, **pooling: bool) -> None:
    """Add what makes an encoder a model for sentence embeddings."""
    (folder / "1_Pooling").mkdir()
    for name, content in {
        "modules.json": MODULES,
        "1_Pooling/config.json": pooling,
        "sentence_bert_config.json": {"max_seq_length": SEQ_LEN - 4, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": {"query": "the red "}},
    }.items():
        (folder / name).write_text(json.dumps(content))


def build_text_artifact(folder: Path, task: str = "feature-extraction", seed: int = 0) -> Path:
    """Export an encoder, or a model for classes of texts, with a tokenizer of word pieces."""
    import tvm
    from tvm import relax

    source = folder / "source"
    source.mkdir(parents=True)
    vocab_size = make_tokenizer(source, "word-pieces", 512)
    write_sentence_files(source, pooling_mode_mean_tokens=True)
    (source / "pruning.json").write_text("{}")
    below = {"input_ids": vocab_size, "attention_mask": 2}
    inputs = tuple(TensorSpec(name, (BATCH, SEQ_LEN), "int32", n) for name, n in below.items())
    table = np.random.default_rng(seed).normal(size=(vocab_size, WIDTH)).astype(np.float32)

    op, builder = relax.op, relax.BlockBuilder()
    ids, mask = (relax.Var(s.name, relax.TensorType(s.shape, s.dtype)) for s in inputs)
    weight = relax.Var("table", relax.TensorType(table.shape, "float32"))
    encoder = task == "feature-extraction"
    shape = (BATCH, SEQ_LEN, WIDTH) if encoder else (BATCH, WIDTH)
    outputs = (TensorSpec("last_hidden_state" if encoder else "logits", shape, "float32"),)
    with builder.function("main", [ids, mask, weight], attrs={"num_input": 2}):
        with builder.dataflow():
            weights = op.expand_dims(op.astype(mask, "float32"), [2])
            hidden = op.multiply(op.take(weight, ids, axis=0), weights)
            result = hidden if encoder else op.sum(hidden, axis=[1])
            result = builder.emit_output(builder.normalize(result))
        builder.emit_func_output(result)
    target = tvm.target.Target({"kind": "llvm", "mcpu": "x86-64-v2"})
    pipeline = relax.get_default_pipeline(target)
    executable = relax.build(builder.get(), target=target, relax_pipeline=pipeline)

    architecture, _ = MODELS[task]
    config = {"id2label": {str(i): f"class {i}" for i in range(WIDTH)}}
    if task == "zero-shot-classification":
        config["id2label"]["0"] = "entailment"
    model = ModelDescription("tiny", architecture, task_of(architecture).name, config)
    spec = {
        "model": asdict(ModelSpec("tiny", batch=BATCH, seq_len=SEQ_LEN)),
        "sparsity": None,
        "compile": asdict(CompileSpec()),
        "quantization": None,
    }
    facts = {"inputs": inputs, "outputs": outputs, "model": model, "spec": spec, "calls": ()}
    weights_facts = WeightsFacts("checkpoint", "00", str(source), "made")
    metadata = tiny_metadata(weights=weights_facts, weights_bytes=table.nbytes, **facts)
    build = export_artifact(executable, {"table": table}, metadata, folder / "build")
    made = make_model({"table": table}, weights=weights_facts, config=config)
    return tvm_sparse.export(Builds(made, {"dense": build}), folder / "artifact", "dense")
