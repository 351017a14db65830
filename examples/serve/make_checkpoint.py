"""Write a checkpoint that answers questions, with seeded weights: make_checkpoint.py base DIR.

Its vocabulary are the words and letters of a text of this package, which suffices to measure.
"""

import json
import re
import string
import sys
import tempfile
from collections import Counter
from importlib import resources
from pathlib import Path

from tvm_sparse.api.models import load_model
from tvm_sparse.config.model import ModelSpec
from tvm_sparse.model.torch_checkpoint import write_torch_checkpoint
from tvm_sparse.sources.presets import load_presets

PRESETS = {"base": "bert-base", "minilm": "minilm-l6", "mini": "bert-mini"}
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = 5000


def vocabulary() -> list[str]:
    """Return pieces of words, as BERT's vocab.txt has them."""
    text = resources.files("tvm_sparse.pruning").joinpath("calibration.txt").read_text("utf-8")
    counts = Counter(re.findall(r"[a-z]+", text.lower()))
    letters = [*string.ascii_lowercase, *string.digits]
    words = [word for word, _ in counts.most_common(WORDS) if len(word) > 1]
    return [*SPECIAL, *string.punctuation, *letters, *(f"##{one}" for one in letters), *words]


def main(size: str, directory: str) -> None:
    """Write the checkpoint."""
    config = {**load_presets()[PRESETS[size]].config, "architectures": ["BertForQuestionAnswering"]}
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "config.json").write_text(json.dumps(config))
        model = load_model(ModelSpec(scratch, weights="random"))
        write_torch_checkpoint(Path(directory), model.facts, model.params)
    Path(directory, "vocab.txt").write_text("\n".join(vocabulary()) + "\n")
    settings = {"do_lower_case": True, "model_max_length": 512, "tokenizer_class": "BertTokenizer"}
    Path(directory, "tokenizer_config.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PRESETS:
        sys.exit(f"usage: make_checkpoint.py {'|'.join(PRESETS)} DIR")
    main(*sys.argv[1:])
