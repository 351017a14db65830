"""The whole config of a model of transformers: what its class takes for keys that nobody gave."""

from __future__ import annotations

import json
from typing import Any


def full_config(model: Any) -> dict[str, Any]:
    """Return a model's config with what its class takes for keys that config.json lacks.

    Whatever a family calls them, its sizes stand there by their common names too.
    """
    config = model.config
    facts = json.loads(config.to_json_string(use_diff=False))
    facts |= {name: getattr(config, name, None) for name in config.attribute_map}
    # What begins so is transformers' own, the path of the files among it.
    return {name: value for name, value in facts.items() if not name.startswith("_")}
