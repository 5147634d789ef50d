"""Loading with torch.distributed.checkpoint.

Each rank reads the byte ranges that its plan wants and, up to small gaps, no others: straight into the tensor's memory
where the bytes lie there as they are stored, else through a bounded buffer. Ranges of a file go out in few large
calls: those into place one after the other, so that a rank reads one sequential stream, the others several at once.
Checkpoints that FsspecWriter wrote under ``cairn://`` load too. Next: ranges.py.
"""

from __future__ import annotations

import ctypes
import io
import mmap
import os
import pickle
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future as ThreadFuture
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable

import torch
from cairn import _cairn
from cairn.client import Client
from cairn.errors import FailedPrecondition
from cairn.io import File
from cairn.torch.clients import checkpoint_path, is_checkpoint_id, shared_client
from cairn.torch.layout import Encoding, StoredItem
from cairn.torch.ranges import runs_of, spans_of
from torch.distributed._shard._utils import narrow_tensor_by_index
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlan, LoadPlanner, ReadItem
from torch.distributed.checkpoint.storage import StorageReader
from torch.futures import Future

__all__ = ["CairnStorageReader"]

# Read into place only in runs of at least this; below it a request costs more than copying.
_RUN_BYTES = 16 << 10
# Rows closer than this are read as one range: content is stored and checked in blocks of 64 KiB anyway.
_GAP_BYTES = 16 << 10
_SPAN_BYTES = 8 << 20
# One call: bounded so that it ends well within the client's timeout, and so that the buffers of those under way
# (calls under way × buffer bytes) stay at 32 MiB. An item that is larger by itself goes alone.
_CALL_BYTES = 256 << 20
_CALL_BUFFER_BYTES = 8 << 20
_CALLS_UNDER_WAY = 4
# Files opened ahead at once: each is a round trip or two.
_OPENS_AT_ONCE = 4
# Targets from here on are given their pages before they are read into, while another call is under way: where
# memory is fresh the thread that receives would else fault in each page in turn. Below it the call costs more.
_POPULATE_BYTES = 4 << 20
_MADV_POPULATE_WRITE = 23  # since Linux 5.14; mmap.h's, for which Python has no name


class CairnStorageReader(StorageReader):
    """Loads a checkpoint ``bucket/.../name`` onto any number of ranks.

    For ``dcp.load``. Bytes are verified as they are read. Pickles by the cluster's address.

    Args:
        path: ``cairn://bucket/run/step-10`` or ``bucket/run/step-10``. None: given as ``checkpoint_id`` to each load.
        client: the cluster. None: the process's shared client of ``endpoint``.
        endpoint: ``HOST:PORT[,HOST:PORT...]``; None: ``CAIRN_ENDPOINT``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        client: Client | None = None,
        endpoint: str | None = None,
    ) -> None:
        super().__init__()
        self._client = client if client is not None else shared_client(endpoint)
        self.path = checkpoint_path(path) if path is not None else ""
        self.storage_data: dict[Any, Any] = {}
        self._files: _Files | None = None
        self.load_id = str(uuid.uuid4())

    # -- the protocol, in the order in which DCP calls it

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        self.storage_data = {}
        self._files = None
        if checkpoint_id:
            self.path = checkpoint_path(checkpoint_id)
        self.load_id = str(uuid.uuid4())

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The checkpoint's metadata; with ``rank=``, what that rank saved without collectives. A pickle: load
        checkpoints only from where you would run code from."""
        if not self.path:
            raise FailedPrecondition("no path: give one to CairnStorageReader, or a checkpoint_id to the load")
        rank = kwargs.get("rank")
        name = ".metadata" if rank is None else f"__{rank}.metadata"
        metadata = pickle.loads(self._client.get(f"{self.path}/{name}"))
        if getattr(metadata, "storage_meta", None) is None:
            metadata.storage_meta = StorageMeta()
        metadata.storage_meta.load_id = self.load_id
        return metadata

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        if metadata.storage_data is None:
            raise FailedPrecondition(f"the metadata of {self.path} does not say where its tensors are")
        self.storage_data = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        plan.items.sort(key=self._position)
        # Meanwhile ranks wait for each other's plans.
        self._files = _Files(self._client, self.path)
        self._files.open_ahead(self._position(item)[0] for item in plan.items)
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        files, self._files = self._files or _Files(self._client, self.path), None
        batches = self._batches(sorted(plan.items, key=self._position), planner)
        _run(batches, files)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    @property
    def checkpoint_id(self) -> str:
        return f"cairn://{self.path}"

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return is_checkpoint_id(checkpoint_id)

    # -- from a plan to calls

    def _position(self, item: ReadItem) -> tuple[str, int]:
        stored = self.storage_data[item.storage_index]
        return stored.relative_path, stored.offset

    def _batches(self, items: Iterable[ReadItem], planner: LoadPlanner) -> Iterator[_Batch]:
        """The calls to make, in order, each made when it is asked for: targets may be allocated late."""
        batch = _Batch("")
        for item in items:
            stored = self.storage_data[item.storage_index]
            for read in _reads_of(item, stored, planner):
                if batch.file != stored.relative_path or not batch.has_room(read):
                    if batch.reads:
                        yield batch
                    batch = _Batch(stored.relative_path)
                batch.add(read)
        if batch.reads:
            yield batch

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "storage_data": {}, "_files": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._client = shared_client(self._client._endpoint, self._client._timeout, self._client._window)


@dataclass
class _Read:
    """One range: into ``target``'s memory in place, or into a buffer that ``deliver`` copies from."""

    offset: int
    length: int
    target: Any = None
    deliver: Callable[[torch.Tensor], None] | None = None
    pinned: bool = False
    done: Callable[[], None] | None = None  # after the item's last range


@dataclass
class _Batch:
    """What goes out in one call to one file."""

    file: str
    reads: list[_Read] = field(default_factory=list)
    direct_bytes: int = 0
    buffer_bytes: int = 0
    buffer: torch.Tensor | None = None

    @property
    def is_in_place(self) -> bool:
        """Whether it is part of the stream into the targets, rather than one of many small calls."""
        return self.direct_bytes > self.buffer_bytes

    @property
    def goes_alone(self) -> bool:
        """Whether its buffer takes what all calls under way may have together."""
        return self.buffer_bytes > _CALL_BUFFER_BYTES

    def has_room(self, read: _Read) -> bool:
        if not self.reads:
            return True
        if read.deliver is not None:
            return self.buffer_bytes + read.length <= _CALL_BUFFER_BYTES
        return self.direct_bytes + read.length <= _CALL_BYTES

    def add(self, read: _Read) -> None:
        self.reads.append(read)
        if read.deliver is not None:
            self.buffer_bytes += _aligned(read.length)
        else:
            self.direct_bytes += read.length

    def read(self, files: _Files, turn: threading.Lock) -> None:
        """On any thread: fills the targets and the buffer. ``turn``: of the calls into place."""
        file = files.open(self.file)
        if not self.is_in_place:
            file.read_ranges(self._ranges())
            return
        for read in self.reads:
            if read.deliver is None:
                _populate(read.target)
        with turn:
            file.read_ranges(self._ranges())

    def _ranges(self) -> list[tuple[int, Any]]:
        if self.buffer_bytes:
            pinned = any(read.pinned for read in self.reads)
            self.buffer = torch.empty(self.buffer_bytes, dtype=torch.uint8, pin_memory=pinned)
        ranges = []
        start = 0
        for read in self.reads:
            target = read.target
            if read.deliver is not None:
                assert self.buffer is not None
                target = self.buffer[start : start + read.length]
                start += _aligned(read.length)
            if read.length:
                ranges.append((read.offset, target))
        return ranges

    def deliver(self) -> None:
        """On the caller's thread, in order: copies from the buffer and tells the planner."""
        start = 0
        for read in self.reads:
            if read.deliver is not None:
                assert self.buffer is not None or read.length == 0
                memory = self.buffer if self.buffer is not None else torch.empty(0, dtype=torch.uint8)
                read.deliver(memory[start : start + read.length])
                start += _aligned(read.length)
            if read.done is not None:
                read.done()


class _Files:
    """The files of a checkpoint, each opened once, by whoever needs it first."""

    def __init__(self, client: Client, path: str) -> None:
        self._client = client
        self._path = path
        self._lock = threading.Lock()
        self._opening: dict[str, ThreadFuture[File]] = {}

    def open_ahead(self, names: Iterable[str]) -> None:
        """Begins to open them; an error is raised by whoever needs the file."""
        pool = ThreadPoolExecutor(_OPENS_AT_ONCE, thread_name_prefix="cairn-open")
        for name in dict.fromkeys(names):
            pool.submit(self.open, name)
        pool.shutdown(wait=False)

    def open(self, name: str) -> File:
        with self._lock:
            opening = self._opening.get(name)
            if mine := opening is None:
                opening = self._opening[name] = ThreadFuture()
        if mine:
            try:
                opening.set_result(self._client.open(f"{self._path}/{name}"))
            except BaseException as error:
                opening.set_exception(error)
        return opening.result()


def _run(batches: Iterator[_Batch], files: _Files) -> None:
    under_way: deque[tuple[_Batch, ThreadFuture[None]]] = deque()
    turn = threading.Lock()

    def finish_oldest() -> None:
        batch, reading = under_way.popleft()
        reading.result()
        batch.deliver()

    def has_room(batch: _Batch) -> bool:
        if batch.goes_alone or any(other.goes_alone for other, _ in under_way):
            return not under_way
        # Of those into place one reads and the next one prepares its targets.
        in_place = sum(other.is_in_place for other, _ in under_way)
        return len(under_way) < _CALLS_UNDER_WAY and not (batch.is_in_place and in_place == 2)

    # Leaving the block waits for what is under way: servers write into the targets until then.
    with ThreadPoolExecutor(_CALLS_UNDER_WAY, thread_name_prefix="cairn-read") as pool:
        try:
            for batch in batches:
                while not has_room(batch):
                    finish_oldest()
                under_way.append((batch, pool.submit(batch.read, files, turn)))
            while under_way:
                finish_oldest()
        except BaseException:
            for _, reading in under_way:
                reading.cancel()
            raise


def _populate(region: Any) -> None:
    """Gives ``region`` its pages. A hint: where the kernel cannot, they come as they are written."""
    if region.size_bytes < _POPULATE_BYTES:
        return
    page = mmap.PAGESIZE
    start = -(-region.address // page) * page
    length = (region.address + region.size_bytes) // page * page - start
    _libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(length), ctypes.c_int(_MADV_POPULATE_WRITE))


_libc = ctypes.CDLL(None)


def _reads_of(item: ReadItem, stored: Any, planner: LoadPlanner) -> Iterator[_Read]:
    """The ranges that one item of a plan needs; the last one's ``done`` reports it to the planner."""
    if item.type == LoadItemType.BYTE_IO:
        yield _Read(stored.offset, stored.length, deliver=partial(_load_bytes, planner, item))
        return
    if not isinstance(stored, StoredItem) or stored.encoding == Encoding.TORCH_SAVE:
        yield _Read(stored.offset, stored.length, deliver=partial(_load_saved, planner, item))
        return
    target = planner.resolve_tensor(item).detach()
    if tuple(target.shape) != tuple(item.lengths):
        raise AssertionError(f"req {item.storage_index} mismatch sizes {target.size()} vs {item.lengths}")
    last: _Read | None = None
    for read in _tensor_reads(item, stored, target):
        if last is not None:
            yield last
        last = read
    if last is None:
        last = _Read(stored.offset, 0, deliver=_ignore)
    last.done = partial(planner.commit_tensor, item, target)
    yield last


def _tensor_reads(item: ReadItem, stored: StoredItem, target: torch.Tensor) -> Iterator[_Read]:
    if target.numel() == 0:
        return
    assert stored.dtype is not None
    element_bytes = stored.dtype.itemsize
    box = (stored.shape, tuple(item.storage_offsets), tuple(item.lengths), element_bytes)
    plain = type(target) in (torch.Tensor, torch.nn.Parameter) and target.layout == torch.strided
    in_place = plain and target.device.type == "cpu" and target.dtype == stored.dtype and target.data_ptr() != 0
    if in_place and not (target.is_conj() or target.is_neg()):
        run_bytes, runs = runs_of(*box, target.stride())
        if run_bytes >= min(_RUN_BYTES, target.nbytes):
            for run in runs:
                first = sum(o * s for o, s in zip(run.box_offset, target.stride())) * element_bytes
                yield from _in_place(stored.offset + run.offset, run.length, target.data_ptr() + first, target)
            return
    pinned = target.device.type == "cuda"
    for span in spans_of(*box, gap_bytes=_GAP_BYTES, span_bytes=_SPAN_BYTES):
        part = target[tuple(slice(o, o + n) for o, n in zip(span.box_offset, span.shape))]
        deliver = partial(_copy_span, part, stored.dtype, span.shape, span.strides)
        yield _Read(stored.offset + span.offset, span.length, deliver=deliver, pinned=pinned)


def _in_place(offset: int, length: int, address: int, owner: torch.Tensor) -> Iterator[_Read]:
    for start in range(0, length, _CALL_BYTES):
        size = min(_CALL_BYTES, length - start)
        yield _Read(offset + start, size, target=_cairn.Region(address + start, size, owner))


def _copy_span(
    part: torch.Tensor,
    dtype: torch.dtype,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    memory: torch.Tensor,
) -> None:
    part.copy_(memory.view(dtype).as_strided(shape, strides, memory.storage_offset() // dtype.itemsize))


def _load_bytes(planner: LoadPlanner, item: ReadItem, memory: torch.Tensor) -> None:
    planner.load_bytes(item, _Content(memory))  # type: ignore[arg-type]


def _load_saved(planner: LoadPlanner, item: ReadItem, memory: torch.Tensor) -> None:
    """A tensor that was stored as torch.save wrote it."""
    tensor = torch.load(_Content(memory), map_location="cpu", weights_only=True)
    tensor = narrow_tensor_by_index(tensor, item.storage_offsets, item.lengths)
    target = planner.resolve_tensor(item).detach()
    if target.size() != tensor.size():
        raise AssertionError(f"req {item.storage_index} mismatch sizes {target.size()} vs {tensor.size()}")
    target.copy_(tensor)
    planner.commit_tensor(item, target)


class _Content(io.RawIOBase):
    """What a BytesIO gives to readers, without a copy of the memory."""

    def __init__(self, memory: torch.Tensor) -> None:
        self._memory = memoryview(memory.numpy())
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._memory[self._position : self._position + len(buffer)]
        memoryview(buffer).cast("B")[: len(part)] = part
        self._position += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._memory)}[whence]
        if start + offset < 0:
            raise ValueError(f"negative seek position {start + offset}")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readall(self) -> bytes:
        rest = bytes(self._memory[self._position :])
        self._position += len(rest)
        return rest

    def getvalue(self) -> bytes:
        return bytes(self._memory)

    def getbuffer(self) -> memoryview:
        return self._memory


def _ignore(memory: torch.Tensor) -> None:
    pass


def _aligned(length: int) -> int:
    """Room for ``length`` bytes such that what follows is aligned for any dtype."""
    return -(-length // 16) * 16
