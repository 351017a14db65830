import errno
import resource

import pytest

from tvm_sparse.processes.memory import is_lack_of_memory, memory_limit

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (ImportError("libx.so: failed to map segment from shared object"), True),
        (AttributeError("module 'x' has no attribute 'y'"), False),
    ],
)
def test_a_lack_of_memory_has_many_faces(error, short, monkeypatch):
    assert is_lack_of_memory(error) is short
    assert memory_limit() == ""
    for megabytes in (1 << 30, 1):  # nowhere near what this process uses, and below it
        limit = (megabytes << 20, resource.RLIM_INFINITY)
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: limit)
        assert is_lack_of_memory(error) is (short or megabytes == 1)
        assert memory_limit() == f" (ulimit -v allows {megabytes} MB)"
