"""dependencies: wrong combinations of packages become one line."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from tvm_sparse.dependencies import (
    BATCH,
    FRONTEND,
    RUNTIME,
    SERVING,
    TORCH,
    WEIGHTS,
    check_dependencies,
)
from tvm_sparse.errors import DependencyError

pytestmark = pytest.mark.unit

GOOD = {
    "apache-tvm": "0.27.0.post1",
    "apache-tvm-ffi": "0.1.14.post1",
    "tensorflow": "2.21.0",
    "tf-keras": "2.21.0",
    "transformers": "4.54.1",
    "huggingface-hub": "0.36.2",
    "safetensors": "0.8.0",
    "scipy": "1.17.1",
    "threadpoolctl": "3.8.0",
}


def installed(**changes: str | None) -> Callable[[str], str]:
    """Versions as importlib.metadata would give them; None means not installed."""
    versions = GOOD | {name.replace("_", "-"): version for name, version in changes.items()}

    def version(name: str) -> str:
        found = versions.get(name)
        if found is None:
            raise PackageNotFoundError(name)
        return found

    return version


def test_what_is_installed_here_works_together():
    check_dependencies()


@pytest.mark.parametrize("transformers", ["4.53.0", "4.53.3", "4.54.1"])
def test_good_versions_pass(transformers):
    check_dependencies(installed_version=installed(transformers=transformers))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"apache_tvm_ffi": "0.1.15.post2"}, "'apache-tvm-ffi==0.1.14.post1'"),
        ({"apache_tvm_ffi": "0.1.13"}, "'apache-tvm-ffi==0.1.14.post1'"),
        ({"apache_tvm": "0.28.0"}, "'apache-tvm==0.27.0.post1'"),
        ({"transformers": "4.55.0"}, "'transformers>=4.53,<4.55'"),
        ({"transformers": "5.1.0.dev0"}, "'transformers>=4.53,<4.55'"),
        ({"transformers": "4.52.4"}, "'transformers>=4.53,<4.55'"),
        ({"tf_keras": "2.20.1"}, "'tf-keras==2.21.*'"),
        ({"tensorflow": "2.22.0rc0"}, "'tensorflow==2.21.*'"),
        ({"huggingface_hub": "1.2.0"}, "'huggingface-hub>=0.30,<1'"),
        ({"scipy": "1.11.4"}, "'scipy>=1.12'"),
        ({"apache_tvm": None}, "'apache-tvm==0.27.0.post1'"),
        ({"tensorflow": None}, "'tvm_sparse[tensorflow]'"),
        ({"transformers": "unknown"}, "'transformers>=4.53,<4.55'"),
    ],
)
def test_wrong_version_is_one_line_with_the_remedy(change, wanted):
    with pytest.raises(DependencyError) as caught:
        check_dependencies(installed_version=installed(**change))
    message = str(caught.value)
    ((name, version),) = change.items()
    assert name.replace("_", "-") in message
    assert (version or "not installed") in message
    assert message.endswith(f"Run: python -m pip install {wanted}")
    assert "\n" not in message


def test_all_faults_are_named_at_once():
    with pytest.raises(DependencyError, match=r"pip install 'apache-tvm-ffi.*' 'transformers.*'$"):
        check_dependencies(installed_version=installed(apache_tvm_ffi="0.1.15", transformers="5.0"))


def test_another_distribution_of_tensorflow_will_do():
    check_dependencies(installed_version=installed(tensorflow=None, tensorflow_cpu="2.21.0"))


def test_an_exported_model_needs_no_tensorflow():
    extra = {requirement.names[0]: None for requirement in FRONTEND + WEIGHTS}
    # What tokenizers brings may be newer than what the extra takes.
    versions = installed(**extra | {"huggingface-hub": "2.4.0"})
    check_dependencies(RUNTIME, versions)
    with pytest.raises(DependencyError) as caught:
        check_dependencies(installed_version=versions)
    message = str(caught.value)
    assert message.startswith("tensorflow, tf-keras, transformers, safetensors, scipy, ")
    assert message.endswith("Run: python -m pip install 'tvm_sparse[tensorflow]'")


def test_serving_needs_an_extra():
    with pytest.raises(DependencyError) as caught:
        check_dependencies(
            SERVING,
            installed(uvloop="0.23.0", httptools="0.9.0", grpcio="1.85.3", protobuf="6.33.6"),
        )
    assert str(caught.value) == (
        "uvicorn, orjson not installed (serving needs the extra 'serve'). "
        "Run: python -m pip install 'tvm_sparse[serve]'"
    )


def test_batches_need_an_extra():
    with pytest.raises(DependencyError) as caught:
        check_dependencies(BATCH, installed(pyarrow="23.0.0"))
    assert str(caught.value) == (
        "ray not installed (answering files of texts needs the extra 'batch'). "
        "Run: python -m pip install 'tvm_sparse[batch]'"
    )


def test_pip_is_asked_for_the_same_ranges():
    declared = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    all_of_them = RUNTIME + FRONTEND + TORCH + WEIGHTS + SERVING + BATCH
    needed = {requirement.install for requirement in all_of_them}
    assert {line for line in needed if f'    "{line}",\n' in declared} == needed


def test_check_imports_none_of_what_it_checks():
    heavy = "{'tvm', 'tvm_ffi', 'tensorflow', 'tf_keras', 'transformers', 'numpy'}"
    code = (
        "import sys; from tvm_sparse.dependencies import check_dependencies; "
        f"check_dependencies(); print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
