"""Saving with torch.distributed.checkpoint.

Every rank writes one shard, ``__{rank}_0.safetensors`` (see layout.py); the coordinator adds ``.metadata`` and
commits. Until then nothing is visible, and an older checkpoint of the same name stays whole. The coordinator begins
the attempt and its number travels to the others with their plans, so that a rank of an earlier try is refused.

Without collectives the number travels through the process group's store (see meeting.py); each rank writes
``__{rank}.metadata`` too, and all of them wait for the commit, which whoever comes last completes. Next on the data
path: shard.py.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import pickle
import threading
import uuid
import weakref
from typing import Any

import torch
import torch.distributed as dist
from cairn.checkpoint import CheckpointWriter
from cairn.client import Client
from cairn.errors import AlreadyExists, CairnError, FailedPrecondition, NotFound
from cairn.torch.clients import checkpoint_path, is_checkpoint_id, shared_client
from cairn.torch.layout import Encoding, Part, StoredItem, encode_tensor, lay_out
from cairn.torch.meeting import Meeting
from cairn.torch.shard import SMALL_BYTES, write_layout
from cairn.torch.staging import HostStager
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, WriteItem, WriteItemType
from torch.distributed.checkpoint.staging import AsyncStager
from torch.distributed.checkpoint.storage import StorageWriter, WriteResult
from torch.futures import Future

__all__ = ["CairnStorageWriter"]

# Other formats of DCP carry the version of theirs here; older releases have no such field.
_DCP_VERSION = "1.0.0"
# How long, in seconds, an attempt is kept alive for a coordinator that DCP does not call again, because another rank
# failed: twice the default timeout of a collective, after which the save has failed for all of them.
_FORSAKEN_AFTER = 3600.0


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
    storage and visible. When it raises, nothing of it is visible and the attempt is aborted, unless the cluster could
    not be reached from the commit on: then it may be. Overwriting is safe at any time: the older checkpoint stays until
    the new one is committed.

    Args:
        path: ``cairn://bucket/run/step-10`` or ``bucket/run/step-10``. None: given as ``checkpoint_id`` to each save.
        client: the cluster. None: the process's shared client of ``endpoint``.
        endpoint: ``HOST:PORT[,HOST:PORT...]``; None: ``CAIRN_ENDPOINT``.
        job: names the job; two live jobs saving under one name refuse each other.
        attempt: the attempt's number, where the job has one that grows with each restart; None: the next.
        overwrite: False: raise AlreadyExists where a checkpoint of that name is committed.
        process_group: the ranks that save together, without collectives: what is given to the save as such. None: the
            default one.
        world_size: their number, without collectives and without a process group, where ``attempt`` or torchrun's
            environment tells a run from those before it.
        rank: this one of them; None: as the save says.
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
        process_group: dist.ProcessGroup | None = None,
        world_size: int | None = None,
        rank: int | None = None,
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
        self._meeting = Meeting(process_group, world_size, rank)
        self.attributes = dict(attributes or {})
        self.commit_timeout = commit_timeout
        self.staging_bytes = staging_bytes
        self._stager = HostStager()
        self._checkpoint: CheckpointWriter | None = None
        self._watch: weakref.finalize[Any, Any] | None = None
        self._start_save()

    def _start_save(self) -> None:
        self._give_up("another save began with its writer before this one was finished")
        self.save_id = str(uuid.uuid4())
        self.is_coordinator = False
        self.rank = 0
        self.use_collectives = True

    # -- the protocol, in the order in which DCP calls it

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        if checkpoint_id:
            self.path = checkpoint_path(checkpoint_id)
        self._start_save()

    def storage_meta(self) -> StorageMeta | None:
        return StorageMeta(checkpoint_id=self.checkpoint_id, save_id=self.save_id)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._give_up("another save began with its writer before this one was finished")
        self.is_coordinator = is_coordinator
        self.rank = kwargs.get("rank") or 0
        self.use_collectives = kwargs.get("use_collectives", True)
        if not self.use_collectives:
            self.rank = self._meeting.rank_of(self.rank)

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        if not self.path:
            raise FailedPrecondition("no path: give one to CairnStorageWriter, or a checkpoint_id to the save")
        if not self.overwrite and (self.is_coordinator or not self.use_collectives) and self._is_committed():
            raise AlreadyExists(f"Checkpoint already exists and overwrite is False: {self.path}")
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        if not self.use_collectives:
            self._hold(self._meet())
            return plans
        self._hold(self._begin(self.rank, len(plans), self.attempt or 0))
        assert self._checkpoint is not None
        common = (len(plans), str(uuid.uuid4()))
        number = self._checkpoint.attempt
        return [
            dataclasses.replace(plan, storage_data=_Assignment(self.path, number, rank, *common))
            for rank, plan in enumerate(plans)
        ]

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        checkpoint = self._checkpoint if self._checkpoint is not None else self._join(plan.storage_data)
        with _AbortOnError(checkpoint, f"rank {self.rank}"):
            results = self._write_shard(checkpoint, plan, planner)
            if self._checkpoint is None:
                checkpoint.rank_done()
        future: Future[list[WriteResult]] = Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        if hasattr(metadata, "version"):
            metadata.version = _DCP_VERSION
        metadata.storage_data = {result.index: result.storage_data for of_rank in results for result in of_rank}
        metadata.storage_meta = self.storage_meta()
        checkpoint = self._checkpoint
        assert checkpoint is not None, "finish() belongs to a rank that prepared the plans"
        try:
            with _AbortOnError(checkpoint, "the coordinator" if self.use_collectives else f"rank {self.rank}"):
                name = ".metadata" if self.use_collectives else f"__{self.rank}.metadata"
                self._complete(checkpoint, name, pickle.dumps(metadata))
        finally:
            self._let_go()

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
        """Ends what a failed save left. The writer can be used again."""
        self._give_up("the writer was closed before the save was complete")
        self._stager.close()

    # -- the attempt

    def _hold(self, checkpoint: CheckpointWriter) -> None:
        """Keeps the attempt until ``finish``. DCP does not tell a coordinator that another rank failed, so it ends
        with the next save, with this writer, and with its own patience at the latest."""
        self._checkpoint = checkpoint
        timer = threading.Timer(_FORSAKEN_AFTER, _abort, (checkpoint, "the save was not finished in time"))
        timer.daemon = True
        timer.start()
        self._watch = weakref.finalize(self, _forsake, checkpoint, timer, os.getpid())
        # At the end of the process its lease ends too, and the servers are not waited for.
        self._watch.atexit = False

    def _let_go(self) -> None:
        self._checkpoint = None
        if self._watch is not None:
            forsaken = self._watch.detach()
            self._watch = None
            if forsaken is not None:
                forsaken[2][1].cancel()

    def _give_up(self, reason: str) -> None:
        checkpoint = self._checkpoint
        self._let_go()
        if checkpoint is not None:
            _abort(checkpoint, reason)

    # -- one rank's work

    def _begin(self, rank: int, world_size: int, attempt: int, job: str | None = None) -> CheckpointWriter:
        def begin() -> CheckpointWriter:
            return self._client.begin_checkpoint(
                self.path,
                world_size=world_size,
                rank=rank,
                attempt=attempt,
                job=self.job if job is None else job,
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
        try:
            checkpoint.commit(self.commit_timeout)
        except CairnError:
            # The answer may have been lost, or another rank's abort came too late.
            if not self._is_committed(checkpoint.attempt):
                raise

    def _meet(self) -> CheckpointWriter:
        """This rank's part in the attempt of all, without collectives. Joining whatever attempt is open would not do:
        it may be that of a run that was killed, some of whose ranks were done."""
        world_size = self._meeting.world_size()
        if self.attempt or world_size == 1:
            return self._begin(self.rank, world_size, self.attempt or 0)
        if not self._meeting.has_store():
            return self._begin(self.rank, world_size, 0, job=self._meeting.job_of_this_run(self.job))
        if self.rank == 0:
            # An attempt that is certainly new: the first call may have joined an open one.
            newest = self._begin(0, world_size, 0).attempt
            checkpoint = self._begin(0, world_size, newest + 1)
            self._meeting.tell(self.path, checkpoint.attempt)
            return checkpoint
        attempt = self._meeting.ask(self.path, self.commit_timeout)
        return self._begin(self.rank, world_size, attempt)

    def _is_committed(self, attempt: int | None = None) -> bool:
        try:
            shown = self._client.show_checkpoint(self.path)
        except NotFound:
            return False
        return shown.committed and attempt in (None, shown.attempt)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state.update(_checkpoint=None, _watch=None, _stager=None)
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
        _abort(self._checkpoint, f"{self._who} failed: {kind.__name__}: {error}")


def _abort(checkpoint: CheckpointWriter, reason: str) -> None:
    try:
        checkpoint.abort(reason[:1000])
    except CairnError:
        pass  # it is over already, or its lease will end it


def _forsake(checkpoint: CheckpointWriter, timer: threading.Timer, pid: int) -> None:
    """What is left of a writer that went away in the middle of a save."""
    timer.cancel()
    if pid == os.getpid():
        # On a thread of its own: whoever dropped the writer does not wait for servers.
        threading.Thread(target=_abort, args=(checkpoint, "its writer went away"), daemon=True).start()


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


def _renew_locks() -> None:
    # A thread that does not exist in this process may have held it.
    global _seen_lock
    _seen_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)
