"""Keep numpy's and scipy's linear algebra on one thread where that is faster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Run BLAS and LAPACK on one thread in this block.

    OpenBLAS's threads spin while they wait for each other. On thousands of small matrices, and on
    a machine that has other work, that costs ten times what it wins.
    """
    # Only libraries that are loaded can be limited, and numpy and scipy bring one each.
    import numpy.linalg  # noqa: F401
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
