"""Small local models as directories, and one process that exports from PyTorch."""

import pytest
from config_dirs import config_dir

__all__ = ["config_dir"]


@pytest.fixture(scope="package", autouse=True)
def kept_exporter(kept_importers):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tvm_sparse.importers.torch.importer.call", kept_importers.call)
        yield
