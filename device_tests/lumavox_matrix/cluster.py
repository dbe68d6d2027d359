"""``ClusterPool``: a lab of hosts, by ``dask.distributed`` (``pip install "lumavox[lab]"``).

A worker is started beside its devices and says which they are; a device's name (and its further tags) are
resources of the worker that has it:

    dask worker tcp://lab:8786 --nthreads 4 --resources "vs680-rack2-slot3=1 rk3588-a=1"

    with ClusterPool("tcp://lab:8786") as pool:
        run(made.cells, store, tier("gate"), pool=pool)

What travels is JSON: the cell, its device and the model's id and digest; the bundle is opened on the worker's
host and refused if it is another one. A tag that no worker has is refused before it would wait for ever. A
worker that dies takes its cell along as an ERROR; nothing is tried twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from lumavox._parse import parse, plain
from lumavox.bundle import Bundle
from lumavox.catalog import find_bundle
from lumavox.errors import BundleIntegrityError, MissingExtraError, OptionError

from .cell import Cell
from .execute import execute
from .lab import Device
from .models import Model
from .plan import PlannedCell
from .result import Result
from .tiers import Tier, tier
from .virtual import virtual_models

__all__ = ["ClusterPool", "execute_portable", "portable"]


class ClusterPool:
    """Made with the address of a scheduler, or a ``distributed.Client``."""

    def __init__(self, address_or_client: Any) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise MissingExtraError("distributed", "lab", "a lab of hosts") from None
        self._own = isinstance(address_or_client, str)
        self._client = Client(address_or_client) if self._own else address_or_client
        self._client.run_on_scheduler(_fail_at_once)
        workers = self._client.scheduler_info(n_workers=-1)["workers"]
        self.size = max(1, sum(int(worker["nthreads"]) for worker in workers.values()))
        self._tags = {tag for worker in workers.values() for tag in worker.get("resources", {})}

    def check(self, cells: Sequence[PlannedCell]) -> None:
        """Raises OptionError that names the tags no worker has."""
        for planned in cells:
            for tag in _tags(planned.device):
                if tag not in self._tags:
                    raise OptionError.unknown("device tag", tag, self._tags, "the workers of the cluster")

    def submit(
        self, planned: PlannedCell, tier: Tier, *, run_id: str, loaded: bool, timeout_s: float | None
    ) -> Future[Result]:
        remote = self._client.submit(
            execute_portable, portable(planned), tier.name, run_id, loaded, timeout_s,
            resources=dict.fromkeys(_tags(planned.device), 1), retries=0, pure=False,
        )  # fmt: skip
        local: Future[Result] = Future()
        local.set_running_or_notify_cancel()
        remote.add_done_callback(lambda done: _hand_over(done, local))
        return local

    def close(self) -> None:
        if self._own:
            self._client.close()

    def __enter__(self) -> ClusterPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def portable(planned: PlannedCell) -> str:
    """A planned cell as JSON, without what only this host has."""
    model = {"id": planned.model.id, "virtual": planned.model.virtual}
    if planned.model.path is not None:
        model["path"] = str(planned.model.path)
    return json.dumps(
        {
            "cell": plain(planned.cell),
            "device": plain(planned.device),
            "model": model,
            "variant": planned.variant,
            "reference_variant": planned.reference_variant,
            "predicted_s": planned.predicted_s,
        }
    )


def execute_portable(text: str, tier_name: str, run_id: str, loaded: bool, timeout_s: float | None) -> bytes:
    """What a worker does: `execute` for a planned cell in JSON; a result in JSON."""
    document = json.loads(text)
    cell = parse(Cell, document["cell"], "cell")
    planned = PlannedCell(
        cell=cell,
        device=parse(Device, document["device"], "device"),
        model=_model(document["model"], cell),
        variant=document["variant"],
        reference_variant=document["reference_variant"],
        predicted_s=document["predicted_s"],
        risk=0.0,
        why="",
    )
    return execute(planned, tier(tier_name), run_id=run_id, loaded=loaded, timeout_s=timeout_s).to_json()


def _model(told: dict[str, Any], cell: Cell) -> Model:
    if told["virtual"]:
        return next(model for model in virtual_models() if model.id == told["id"])
    path = Path(told["path"])
    path = path if path.exists() else find_bundle(told["id"])
    bundle = Bundle.open(path)
    if bundle.digest != cell.model_digest:
        raise BundleIntegrityError(
            f"{path} has digest {bundle.digest[:16]}, the plan is for {cell.model_digest[:16]}: "
            "bring the lab's hosts to the same models"
        )
    return Model.of(bundle, path)


def _tags(device: Device) -> tuple[str, ...]:
    return (device.name, *device.tags)


def _hand_over(remote: Any, local: Future[Result]) -> None:
    error = remote.exception() if remote.status in ("error", "lost", "cancelled") else None
    if remote.status == "finished":
        local.set_result(Result.from_json(cast(bytes, remote.result())))
    else:
        local.set_exception(error or RuntimeError(f"the worker was lost ({remote.status})"))


def _fail_at_once(dask_scheduler: Any) -> None:
    """A cell whose worker dies is not tried on another one: it may be what killed it."""
    dask_scheduler.allowed_failures = 0
