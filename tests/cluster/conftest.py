"""The cluster of one node that the tests here run on."""

from collections.abc import Iterator

import pytest
from one_node import OneNodeCluster, missing


@pytest.fixture(scope="module")
def cluster() -> Iterator[OneNodeCluster]:
    absent = missing()
    if absent:
        pytest.skip(f"Slurm is not installed ({', '.join(absent)} missing; Debian: slurm-wlm munge)")
    with OneNodeCluster(cpus=4) as running:
        yield running
