#!/usr/bin/env python
"""Record what PyTorch's classes compute for small models, as tests/pytorch_truth.json.

It needs an environment of its own with `torch`, numpy and the transformers that this project
pins: PYTHONPATH=. python scripts/record_pytorch.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from pytorch_truth import FILE, configs, sample, weight

BATCH, SEQ_LEN, LENGTHS = 2, 11, (11, 7)


def record(config: dict[str, Any]) -> dict[str, Any]:
    """Build a model, give it seeded weights, run it once."""
    facts = transformers.AutoConfig.for_model(**config)
    model = getattr(transformers, config["architectures"][0])(facts).eval()
    weights: dict[str, list[int]] = {}
    tied: dict[str, str] = {}
    names: dict[int, str] = {}
    for name, value in model.state_dict().items():
        if not value.is_floating_point():
            continue
        if (first := names.setdefault(value.data_ptr(), name)) != name:
            tied[name] = first
            continue
        weights[name] = list(value.shape)
        value.copy_(torch.from_numpy(weight(name, tuple(value.shape))))
    inputs = made_inputs(facts, config["model_type"])
    results = model(**{name: torch.tensor(value) for name, value in inputs.items()})
    outputs = {
        name: {"shape": list(value.shape), "sample": sample(value.numpy())}
        for name, value in results.items()
        if isinstance(value, torch.Tensor)
    }
    return {"weights": weights, "tied": tied, "inputs": inputs, "outputs": outputs}


def made_inputs(facts: Any, model_type: str) -> dict[str, list[list[int]]]:
    """Return ids, one of the rows padded, with segments where the model has some."""
    rng = np.random.default_rng(0)
    is_token = np.arange(SEQ_LEN) < np.array(LENGTHS)[:, None]
    ids = rng.integers(5, facts.vocab_size, (BATCH, SEQ_LEN))
    inputs = {
        "input_ids": np.where(is_token, ids, facts.pad_token_id or 0),
        "attention_mask": is_token.astype(int),
    }
    has_types = model_type not in ("distilbert", "mpnet")
    if getattr(facts, "type_vocab_size", 2) > 1 and has_types:
        inputs["token_type_ids"] = (is_token & (np.arange(SEQ_LEN) >= 4)).astype(int)
    return {name: value.tolist() for name, value in inputs.items()}


def main() -> None:
    """Write the file: a case a line."""
    torch.set_grad_enabled(False)
    lines = [
        f"{json.dumps(case)}: {json.dumps(record(config), separators=(',', ':'))}"
        for case, config in configs().items()
    ]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
