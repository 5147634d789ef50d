"""Saving with torch.distributed.checkpoint.

Every rank writes one shard, ``__{rank}_0.safetensors`` (see layout.py); the coordinator adds ``.metadata`` and
commits. Until then nothing is visible, and an older checkpoint of the same name stays whole. The coordinator begins
the attempt and its number travels to the others with their plans, so that a rank of an earlier try is refused.

Without collectives each rank joins by itself, writes ``__{rank}.metadata`` too, and all of them wait for the commit,
which whoever comes last completes. Next on the data path: shard.py.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pickle
import threading
import uuid
from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from cairn.checkpoint import CheckpointWriter
from cairn.client import Client
from cairn.errors import Aborted, AlreadyExists, CairnError, FailedPrecondition, NotFound
from cairn.torch.clients import checkpoint_path, is_checkpoint_id, shared_client
from cairn.torch.layout import Encoding, Part, StoredItem, encode_tensor, lay_out
from cairn.torch.shard import SMALL_BYTES, write_layout
from cairn.torch.staging import HostStager
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem, WriteItemType
from torch.distributed.checkpoint.staging import AsyncStager
from torch.distributed.checkpoint.storage import StorageWriter, WriteResult
from torch.futures import Future

__all__ = ["CairnStorageWriter"]

T = TypeVar("T")

# Other formats of DCP carry the version of theirs here; older releases have no such field.
_DCP_VERSION = "1.0.0"
# Tries of a rank that joined an attempt which another rank, restarted too, then gave up for a newer one.
_JOINS_MAX = 4


@dataclasses.dataclass(frozen=True)
class _Assignment:
    """What the coordinator tells a rank, with its plan."""

    path: str
    attempt: int
    rank: int
    world_size: int
    token: str  # of this save


class CairnStorageWriter(StorageWriter, AsyncStager):
    """Saves a checkpoint as ``bucket/.../name``, atomically.

    For ``dcp.save`` and, as its own stager, for ``dcp.async_save`` with both executors: ``stage`` copies the state
    into host memory that is reused from save to save. Tensors in host memory are then sent in place; those on a
    device, and those that are not contiguous, pass through ``staging_bytes`` of host memory while the part before
    is being sent. Pickles by the cluster's address; holds no connection of its own.

    Durability: when ``dcp.save`` returns (or the future of ``async_save`` is done), the checkpoint is on stable
    storage and visible. When it raises, nothing is visible and the attempt is aborted. Overwriting is safe at any
    time: the older checkpoint stays until the new one is committed.

    Args:
        path: ``cairn://bucket/run/step-10`` or ``bucket/run/step-10``. None: given as ``checkpoint_id`` to each save.
        client: the cluster. None: the process's shared client of ``endpoint``.
        endpoint: ``HOST:PORT[,HOST:PORT...]``; None: ``CAIRN_ENDPOINT``.
        job: names the job; two live jobs saving under one name refuse each other.
        attempt: the attempt's number, where the job has one that grows with each restart; None: the next.
        overwrite: False: raise AlreadyExists where a checkpoint of that name is committed.
        world_size: ranks that save together, without collectives; None: of the default process group.
        attributes: kept with the checkpoint and shown.
        commit_timeout: seconds that the commit waits for ranks. With collectives all have finished before it.
        staging_bytes: host memory for tensors that cannot be sent in place. What fits needs no extra sync.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        client: Client | None = None,
        endpoint: str | None = None,
        job: str = "",
        attempt: int | None = None,
        overwrite: bool = True,
        world_size: int | None = None,
        attributes: dict[str, str] | None = None,
        commit_timeout: float = 600.0,
        staging_bytes: int = 512 << 20,
    ) -> None:
        super().__init__()
        self._client = client if client is not None else shared_client(endpoint)
        self.path = checkpoint_path(path) if path is not None else ""
        self.job = job
        self.attempt = attempt
        self.overwrite = overwrite
        self.world_size = world_size
        self.attributes = dict(attributes or {})
        self.commit_timeout = commit_timeout
        self.staging_bytes = staging_bytes
        self._stager = HostStager()
        self._start_save()

    def _start_save(self) -> None:
        self.save_id = str(uuid.uuid4())
        self.is_coordinator = False
        self.rank = 0
        self.use_collectives = True
        self._checkpoint: CheckpointWriter | None = None
        self._written: tuple[SavePlan, SavePlanner] | None = None  # without collectives

    # -- the protocol, in the order in which DCP calls it

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        if checkpoint_id:
            self.path = checkpoint_path(checkpoint_id)
        self._start_save()

    def storage_meta(self) -> StorageMeta | None:
        return StorageMeta(checkpoint_id=self.checkpoint_id, save_id=self.save_id)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self.is_coordinator = is_coordinator
        self.rank = kwargs.get("rank") or 0
        self.use_collectives = kwargs.get("use_collectives", True)
        self._checkpoint = None

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        if not self.path:
            raise FailedPrecondition("no path: give one to CairnStorageWriter, or a checkpoint_id to the save")
        if not self.overwrite and (self.is_coordinator or not self.use_collectives) and self._is_committed():
            raise AlreadyExists(f"Checkpoint already exists and overwrite is False: {self.path}")
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        if not self.use_collectives:
            self._checkpoint = self._begin(self.rank, self._world_size(), self.attempt or 0)
            return plans
        self._checkpoint = self._begin(self.rank, len(plans), self.attempt or 0)
        common = (len(plans), str(uuid.uuid4()))
        number = self._checkpoint.attempt
        return [
            dataclasses.replace(plan, storage_data=_Assignment(self.path, number, rank, *common))
            for rank, plan in enumerate(plans)
        ]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        if self.use_collectives:
            checkpoint = self._checkpoint if self._checkpoint is not None else self._join(plan.storage_data)
            with _AbortOnError(checkpoint, f"rank {self.rank}"):
                results = self._write_shard(checkpoint, plan, planner)
                if self._checkpoint is None:
                    checkpoint.rank_done()
        else:
            results = self._alone(lambda checkpoint: self._write_shard(checkpoint, plan, planner))
            self._written = (plan, planner)
        future: Future[list[WriteResult]] = Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        if hasattr(metadata, "version"):
            metadata.version = _DCP_VERSION
        metadata.storage_data = {result.index: result.storage_data for of_rank in results for result in of_rank}
        metadata.storage_meta = self.storage_meta()
        encoded = pickle.dumps(metadata)
        try:
            if self.use_collectives:
                assert self._checkpoint is not None, "finish() belongs to the rank that prepared the plans"
                with _AbortOnError(self._checkpoint, "the coordinator"):
                    self._complete(self._checkpoint, ".metadata", encoded)
            else:
                name = f"__{self.rank}.metadata"
                self._alone(lambda checkpoint: self._complete(checkpoint, name, encoded))
        finally:
            self._checkpoint = None
            self._written = None

    @property
    def checkpoint_id(self) -> str:
        return f"cairn://{self.path}"

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return is_checkpoint_id(checkpoint_id)

    # -- AsyncStager

    _synchronize_after_execute = False  # stage() has waited

    def stage(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        return self._stager.stage(state_dict)

    def synchronize_staging(self) -> None:
        """Nothing: ``stage`` has waited."""

    def close(self) -> None:
        self._stager.close()

    # -- one rank's work

    def _begin(self, rank: int, world_size: int, attempt: int) -> CheckpointWriter:
        def begin() -> CheckpointWriter:
            return self._client.begin_checkpoint(
                self.path,
                world_size=world_size,
                rank=rank,
                attempt=attempt,
                job=self.job,
                attributes={"format": "torch.distributed.checkpoint", "torch": torch.__version__, **self.attributes},
            )

        try:
            return begin()
        except NotFound:
            # The first checkpoint in its directory.
            self._client.make_directory(self.path.rpartition("/")[0])
            return begin()

    def _join(self, assignment: _Assignment | None) -> CheckpointWriter:
        """Joins the attempt that the coordinator began."""
        if assignment is None:
            raise FailedPrecondition("this rank's plan did not come from CairnStorageWriter.prepare_global_plan")
        self.rank = assignment.rank
        attempt = assignment.attempt
        if assignment.path != self.path or _seen_before(assignment):
            # A planner that caches plans hands out those of an earlier save. The coordinator has begun this one's
            # attempt already, so the open one is it.
            attempt = 0
        return self._begin(assignment.rank, assignment.world_size, attempt)

    def _write_shard(
        self, checkpoint: CheckpointWriter, plan: SavePlan, planner: SavePlanner
    ) -> list[WriteResult]:
        if not plan.items:
            return []
        parts = [_to_part(item, planner.resolve_data(item)) for item in plan.items]
        layout = lay_out(parts, SMALL_BYTES)
        name = f"__{self.rank}_0.safetensors"
        with checkpoint.shard(name) as shard:
            write_layout(shard, layout, self.staging_bytes)
        return [
            WriteResult(part.tag, part.nbytes, _stored(name, offset, part))
            for part, offset in zip(layout.parts, layout.offsets)
        ]

    def _complete(self, checkpoint: CheckpointWriter, metadata_name: str, encoded: bytes) -> None:
        with checkpoint.shard(metadata_name) as shard:
            shard.write(encoded)
        checkpoint.rank_done()
        checkpoint.commit(self.commit_timeout)

    def _alone(self, work: Callable[[CheckpointWriter], T]) -> T:
        """Does ``work`` without collectives. Ranks find each other by joining whatever attempt is open, and that may
        be one of a dead job, until a rank of ours starts the next: then this rank follows it there."""
        assert self._checkpoint is not None, "write_data() and finish() come after prepare_global_plan()"
        for joins_left in reversed(range(_JOINS_MAX)):
            try:
                with _AbortOnError(self._checkpoint, f"rank {self.rank}"):
                    return work(self._checkpoint)
            except Aborted:
                if joins_left == 0 or self.attempt or not self._is_superseded(self._checkpoint.attempt):
                    raise
            self._checkpoint = self._begin(self.rank, self._world_size(), 0)
            if self._written is not None:
                self._write_shard(self._checkpoint, *self._written)
        raise AssertionError("unreachable")

    def _is_superseded(self, attempt: int) -> bool:
        listed = self._client.list_checkpoints(self.path.rpartition("/")[0], include_writing=True)
        return any(info.path == self.path and not info.committed and info.attempt > attempt for info in listed)

    def _world_size(self) -> int:
        if self.world_size is not None:
            return self.world_size
        return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1

    def _is_committed(self) -> bool:
        try:
            return self._client.show_checkpoint(self.path).committed
        except NotFound:
            return False

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.update(_checkpoint=None, _written=None, _stager=None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._stager = HostStager()
        # Sent along with every save of the process executor: one connection for all of them.
        self._client = shared_client(self._client._endpoint, self._client._timeout, self._client._window)


class _AbortOnError:
    """Aborts the attempt of all ranks when the block raises, so that nothing lingers."""

    def __init__(self, checkpoint: CheckpointWriter, who: str) -> None:
        self._checkpoint = checkpoint
        self._who = who

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is None:
            return
        try:
            self._checkpoint.abort(f"{self._who} failed: {kind.__name__}: {error}"[:1000])
        except CairnError:
            pass  # the error of the block is the one to report; the lease ends the attempt anyway


def _to_part(item: WriteItem, data: Any) -> Part:
    if item.type == WriteItemType.BYTE_IO:
        return Part(item.index.fqn, data.getbuffer(), Encoding.OBJECT, tag=item.index)
    stored, encoding = encode_tensor(data)
    part = Part(item.index.fqn, stored, encoding, tag=item.index)
    if item.tensor_data is not None and item.type == WriteItemType.SHARD:
        chunk = item.tensor_data.chunk
        part.global_shape = tuple(item.tensor_data.size)
        part.offsets = tuple(chunk.offsets)
        part.is_chunk = tuple(chunk.sizes) != part.global_shape
    return part


def _stored(name: str, offset: int, part: Part) -> StoredItem:
    if part.encoding != Encoding.RAW:
        return StoredItem(name, offset, part.nbytes, part.encoding)
    assert isinstance(part.data, torch.Tensor)
    return StoredItem(name, offset, part.nbytes, part.encoding, tuple(part.data.shape), part.data.dtype)


# Saves whose assignment was used in this process, newest last; a cached plan is one of the last few.
_seen: collections.deque[tuple[str, int]] = collections.deque(maxlen=64)
_seen_lock = threading.Lock()


def _seen_before(assignment: _Assignment) -> bool:
    key = (assignment.token, assignment.rank)
    with _seen_lock:
        if key in _seen:
            return True
        _seen.append(key)
        return False
