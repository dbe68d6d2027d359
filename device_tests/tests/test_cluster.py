"""A lab of hosts: the same cells by way of dask workers, whose resources are the devices."""

from __future__ import annotations

import dataclasses
import os

import pytest

from cells import GLANCE, virtual_cell
from lumavox.errors import OptionError
from lumavox_matrix.cell import Status
from lumavox_matrix.cluster import ClusterPool, execute_portable, portable
from lumavox_matrix.result import Result
from lumavox_matrix.run import run
from lumavox_matrix.store import Store

distributed = pytest.importorskip("distributed", reason="labs need distributed, which is in lumavox[lab]")

pytestmark = pytest.mark.filterwarnings("ignore")  # of distributed and its dependencies


def on(name: str, firmware: str = "1"):
    planned = virtual_cell("sr", "virtual-fast")
    device = dataclasses.replace(planned.device, name=name)
    return dataclasses.replace(
        planned, device=device, cell=dataclasses.replace(planned.cell, firmware=firmware)
    )


@pytest.fixture(scope="module")
def client():
    workers = {
        name: {"cls": distributed.Nanny, "options": {"nthreads": 2, "resources": {name: 1}}}
        for name in ("board-a", "board-b")
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard": False, "port": 0}}
    with (
        distributed.SpecCluster(workers=workers, scheduler=scheduler) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_a_planned_cell_travels_as_json_and_gives_the_same_record():
    planned = on("board-a")
    result = Result.from_json(execute_portable(portable(planned), "glance", "r", False, None))
    assert result.status is Status.DONE, result.reason
    assert result.cell == planned.cell
    assert result.device == "board-a"


def test_cells_run_on_the_workers_that_have_their_devices(client, tmp_path):
    pool = ClusterPool(client)
    assert pool.size == 4
    summary = run([on("board-a"), on("board-b", "2")], Store.open(tmp_path), GLANCE, pool=pool)
    assert summary.statuses == {Status.DONE: 2}


def test_a_tag_that_no_worker_has_is_refused_before_anything_waits(client, tmp_path):
    with pytest.raises(OptionError, match="unknown device tag 'board-c'"):
        run([on("board-a", "3"), on("board-c")], Store.open(tmp_path), GLANCE, pool=ClusterPool(client))
    assert Store.open(tmp_path).digests() == []


def _die(*arguments: object) -> bytes:
    os._exit(7)


def test_a_worker_that_dies_is_an_error_of_its_cell(client, tmp_path, monkeypatch):
    monkeypatch.setattr("lumavox_matrix.cluster.execute_portable", _die)
    summary = run([on("board-a", "4")], Store.open(tmp_path), GLANCE, pool=ClusterPool(client))
    assert summary.statuses == {Status.ERROR: 1}
    (result,) = Store.open(tmp_path).results()
    assert "KilledWorker" in result.reason
