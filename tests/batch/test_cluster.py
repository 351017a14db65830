"""Whether a cluster has the cores of a job."""

from __future__ import annotations

import pytest

from tvm_sparse.batch import cluster
from tvm_sparse.errors import ConfigError

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(("free", "starts"), [([0.0, 1.0, 2.0], True), ([1.0], False)])
def test_cores_of_the_job_before_are_waited_for(free, starts, monkeypatch):
    import ray

    looks = iter(free)
    seen: list[float] = []

    def look() -> dict[str, float]:
        seen.append(next(looks, free[-1]))
        return {"CPU": seen[-1]}

    monkeypatch.setattr(ray, "available_resources", look)
    monkeypatch.setattr(cluster, "_FREE_S", 0.05)
    monkeypatch.setattr(cluster, "_LOOK_S", 0.001)
    if starts:
        cluster.check_free(2, 1)
        assert seen == free
    else:
        with pytest.raises(ConfigError, match="2 actors of 1 core need 2 free cores, 1 of the"):
            cluster.check_free(2, 1)
        assert len(seen) > 1
