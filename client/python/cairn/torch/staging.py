"""Host memory between training and storage.

:class:`HostStager` copies a state dict into host memory that is kept for the next save, so that ``async_save`` holds
up training for that copy and no longer. :class:`DeviceReader` brings tensors that cannot be read in place (on a device,
or not contiguous) through two host buffers while the one before is on its way. Next on the data path: writer.py.
"""

from __future__ import annotations

import contextlib
import copy
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.distributed.checkpoint.staging import AsyncStager

__all__ = ["DeviceReader", "HostStager", "release_staging"]

# Tensors of any dtype may start here; a cache line.
_ALIGNMENT = 64
# One arena being uploaded while the next save is copied to the other. Beyond that memory is taken for one save only.
_ARENAS_KEPT = 2
_MIB = 1 << 20


class Arena:
    """One block of host memory. In use while it is being staged into, and while any tensor in it lives."""

    def __init__(self, size_bytes: int, for_device: bool) -> None:
        size_bytes = -(-size_bytes // _MIB) * _MIB
        # Pinned memory must not move, and sending a private storage to another process moves it into shared
        # memory: what may be pinned is shared from the start, where there is room for it.
        self.pinned = for_device and _shared_memory_left() > size_bytes + 64 * _MIB
        if self.pinned:
            storage = torch.UntypedStorage._new_shared(size_bytes)
            self.pinned = _pin(storage.data_ptr(), size_bytes)
        else:
            storage = torch.UntypedStorage(size_bytes)
        self.bytes = torch.empty(0, dtype=torch.uint8).set_(storage)
        self.size_bytes = size_bytes
        self.for_device = for_device
        self.lent = False
        if self.pinned:
            self._unpin = weakref.finalize(self, _unpin, storage.data_ptr(), storage)
            self._unpin.atexit = False  # the driver is gone by then
        del storage
        self._own_uses = self._uses()

    @property
    def in_use(self) -> bool:
        # Whoever took a tensor out of its state dict may go on using it, so the memory itself is asked.
        return self.lent or self._uses() > self._own_uses

    def _uses(self) -> int:
        return int(torch._C._storage_Use_Count(self.bytes.untyped_storage()._cdata))


_lock = threading.Lock()
_arenas: list[Arena] = []


def release_staging() -> None:
    """Gives the host memory kept for staging back, as soon as the saves under way have ended."""
    with _lock:
        _arenas.clear()


@contextlib.contextmanager
def _lend_arena(size_bytes: int, for_device: bool) -> Iterator[Arena]:
    """An arena of at least that size, for this block and as long as tensors made in it live."""
    with _lock:
        arena = _find_arena(size_bytes, for_device)
        arena.lent = True
    try:
        yield arena
    finally:
        arena.lent = False


def _renew_locks() -> None:
    # A thread that does not exist in this process may have held it.
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


def _find_arena(size_bytes: int, for_device: bool) -> Arena:
    free = [arena for arena in _arenas if not arena.in_use]
    fitting = [arena for arena in free if arena.size_bytes >= size_bytes and arena.for_device >= for_device]
    if fitting:
        return min(fitting, key=lambda arena: arena.size_bytes)
    for arena in free:  # too small: what comes next is as large as this
        _arenas.remove(arena)
    arena = Arena(size_bytes, for_device)
    if len(_arenas) < _ARENAS_KEPT:
        _arenas.append(arena)
    return arena


class HostStager(AsyncStager):
    """Copies state dicts into host memory that is reused from save to save.

    ``stage`` returns when the copy is complete: training may go on and change its tensors. One instance serves one
    training thread. Works with both executors of ``async_save``: the memory becomes shared memory when a staged dict
    is first sent to another process, and stays so.
    """

    _synchronize_after_execute = False  # stage() has waited

    def stage(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        """A copy of ``state_dict`` on the host. Objects that are not tensors are deep-copied."""
        return _Staging().run(state_dict)

    def synchronize_staging(self) -> None:
        """Nothing: ``stage`` has waited."""

    def close(self) -> None:
        """Nothing: the memory belongs to the process; see :func:`release_staging`."""


class _Staging:
    """One state dict on its way to the host: once over it to measure, once to copy."""

    def __init__(self) -> None:
        self._places: dict[tuple[Any, ...], int] = {}
        self._size_bytes = 0
        self._devices: set[torch.device] = set()
        self._copied: dict[tuple[Any, ...], torch.Tensor] = {}
        self._arena: Arena | None = None

    @torch.no_grad()
    def run(self, state_dict: dict[str, Any]) -> dict[str, Any]:
        for value in state_dict.values():
            _visit(value, self._measure)
        with _lend_arena(max(self._size_bytes, 1), bool(self._devices)) as self._arena:
            staged = {key: _rebuild(value, self._copy) for key, value in state_dict.items()}
            for device in self._devices:
                torch.get_device_module(device).synchronize(device)
        return staged

    def _measure(self, tensor: torch.Tensor) -> None:
        if not _is_plain(tensor):
            return
        if tensor.device.type != "cpu":
            self._devices.add(tensor.device)
        key = _identity(tensor)
        if key not in self._places:
            self._places[key] = self._size_bytes
            self._size_bytes += -(-tensor.nbytes // _ALIGNMENT) * _ALIGNMENT

    def _copy(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.detach()
        if not _is_plain(tensor):
            return tensor.clone() if tensor.device.type == "cpu" else tensor.cpu()
        key = _identity(tensor)
        if (copied := self._copied.get(key)) is not None:
            return copied  # tied weights
        assert self._arena is not None
        start = self._places[key]
        memory = self._arena.bytes[start : start + tensor.nbytes]
        target = memory.view(tensor.dtype).view(tensor.shape)
        target.copy_(tensor, non_blocking=self._arena.pinned)
        self._copied[key] = target
        return target


def _is_plain(tensor: torch.Tensor) -> bool:
    """Whether its elements are all there is to it."""
    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer)
        and tensor.layout == torch.strided
        and not tensor.is_quantized
        and not tensor.is_conj()
        and not tensor.is_neg()
        and tensor.device.type != "meta"
        and tensor.nbytes > 0
    )


def _identity(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def _visit(value: Any, visit: Callable[[torch.Tensor], None]) -> None:
    """Shows ``visit`` the tensors that :func:`_rebuild` will replace, and builds nothing."""
    if isinstance(value, torch.Tensor):
        for tensor in _inner_tensors(value):
            visit(tensor)
    elif isinstance(value, dict):
        for each in value.values():
            _visit(each, visit)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _visit(each, visit)


def _inner_tensors(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    from torch.distributed._shard.sharded_tensor import ShardedTensor
    from torch.distributed.tensor import DTensor
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    if isinstance(tensor, DTensor):
        yield tensor._local_tensor
    elif isinstance(tensor, ShardedTensor):
        for shard in tensor.local_shards():
            yield shard.tensor
    elif is_traceable_wrapper_subclass(tensor):
        names, _ = tensor.__tensor_flatten__()
        for name in names:
            if isinstance(part := getattr(tensor, name), torch.Tensor):
                yield from _inner_tensors(part)
    else:
        yield tensor


def _rebuild(value: Any, replace: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """``value`` with its tensors replaced; dicts, lists and tuples are made anew, other objects copied."""
    if isinstance(value, torch.Tensor):
        return _rebuild_tensor(value, replace)
    if isinstance(value, dict):
        return {key: _rebuild(each, replace) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_rebuild(each, replace) for each in value]
        if isinstance(value, tuple):
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        return parts
    return copy.deepcopy(value)


def _rebuild_tensor(tensor: torch.Tensor, replace: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    from torch.distributed._shard.sharded_tensor import Shard, ShardedTensor
    from torch.distributed.tensor import DTensor
    from torch.utils._python_dispatch import is_traceable_wrapper_subclass

    if isinstance(tensor, DTensor):
        local = replace(tensor._local_tensor)
        # A DTensor takes over its local tensor's storage offset, and pickle takes one with an offset for a tensor
        # with memory of its own: made around an empty one, it has none.
        staged = DTensor(local.new_empty(0), tensor._spec, requires_grad=False)
        staged._local_tensor = local
        return staged
    if isinstance(tensor, ShardedTensor):
        shards = [Shard(replace(shard.tensor), shard.metadata) for shard in tensor.local_shards()]
        return ShardedTensor._init_from_local_shards_and_global_metadata(
            shards, sharded_tensor_metadata=tensor.metadata(), process_group=tensor._process_group
        )
    if is_traceable_wrapper_subclass(tensor):
        names, context = tensor.__tensor_flatten__()
        inner = {name: getattr(tensor, name) for name in names}
        inner = {
            name: _rebuild_tensor(part, replace) if isinstance(part, torch.Tensor) else part
            for name, part in inner.items()
        }
        return type(tensor).__tensor_unflatten__(inner, context, tensor.size(), tensor.stride())
    return replace(tensor)


class DeviceReader:
    """Brings tensors that cannot be read in place to the host, in parts, through two buffers.

    While one part is being sent, the next is being copied. A buffer is reused after ``flush``, which makes sure that
    nobody reads it any more; what fits both needs none. Belongs to one thread.

    Args:
        buffer_bytes: host memory for both.
        flush: makes durable what was handed on so far.
        total_bytes: of all tensors to come, so that no more memory is taken than that.
        pinned: some of them are on a device.
    """

    def __init__(self, buffer_bytes: int, flush: Callable[[], None], total_bytes: int, pinned: bool) -> None:
        self._part_bytes = max(buffer_bytes // 2, _MIB)
        self._flush = flush
        self._left_bytes = total_bytes
        self._pinned = pinned
        self._buffers: list[torch.Tensor] = []
        self._buffers_filled = 0
        self._buffer = torch.empty(0, dtype=torch.uint8)  # what is left of the one being filled

    def parts(self, tensors: list[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The bytes of ``tensors``, row-major, one behind the other, as pieces in host memory. Each piece must have
        been handed on when the next is asked for; ``flush`` may be called in between. A later call goes on filling the
        buffer where this one ended: flushes depend on the bytes, not on the calls."""
        waiting: Iterator[torch.Tensor] = (
            piece for tensor in tensors for piece in split_rows(tensor, self._part_bytes)
        )
        ready = None
        for batch in self._batches(waiting):
            coming = self._copy(batch)
            if ready is not None:
                yield ready[0]
            ready = coming
            # Here the part before is on its way to the servers, and this one on its way to the host.
            ready[1]()
        if ready is not None:
            yield ready[0]

    def _batches(self, pieces: Iterator[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
        """What fits the rest of the buffer together; each is copied before the next is asked for."""
        batch: list[torch.Tensor] = []
        size = 0
        room = self._buffer.nbytes
        for piece in pieces:
            if size + piece.nbytes > room:
                if batch:
                    yield batch
                self._next_buffer()
                batch, size, room = [], 0, self._buffer.nbytes
            batch.append(piece)
            size += piece.nbytes
        if batch:
            yield batch

    def _copy(self, pieces: list[torch.Tensor]) -> tuple[torch.Tensor, Callable[[], Any]]:
        size = sum(piece.nbytes for piece in pieces)
        memory, self._buffer = self._buffer[:size], self._buffer[size:]
        self._left_bytes -= size
        start = 0
        for piece in pieces:
            _copy_bytes(memory[start : start + piece.nbytes], piece)
            start += piece.nbytes
        # An event is of one stream, and each device copies on its own: none speaks for the others.
        devices = {piece.device for piece in pieces if piece.device.type != "cpu"}
        events = [_record(device) for device in devices]
        return memory, lambda: [event.synchronize() for event in events]

    def _next_buffer(self) -> None:
        index = self._buffers_filled % 2
        self._buffers_filled += 1
        if self._buffers_filled > 2:
            # This buffer's last part, and all before it, must be durable first.
            self._flush()
        wanted = min(self._part_bytes, self._left_bytes)
        if index == len(self._buffers):
            self._buffers.append(self._allocate(wanted))
        elif self._buffers[index].nbytes < wanted:
            self._buffers[index] = self._allocate(self._part_bytes)
        self._buffer = self._buffers[index]

    def _allocate(self, size_bytes: int) -> torch.Tensor:
        return torch.empty(size_bytes, dtype=torch.uint8, pin_memory=self._pinned)


def _record(device: torch.device) -> Any:
    """An event that happens when what was asked of the device until now is done."""
    module = torch.get_device_module(device)
    event = module.Event()
    event.record(module.current_stream(device))
    return event


def _copy_bytes(target: torch.Tensor, piece: torch.Tensor) -> None:
    if piece.is_contiguous():
        target.copy_(piece.view(-1).view(torch.uint8), non_blocking=True)
    elif target.storage_offset() % piece.element_size() == 0:
        target.view(piece.dtype).view(piece.shape).copy_(piece, non_blocking=True)
    else:
        target.copy_(piece.contiguous().view(-1).view(torch.uint8), non_blocking=True)


def split_rows(tensor: torch.Tensor, part_bytes: int) -> Iterator[torch.Tensor]:
    """``tensor`` in row-major order, in parts of at most ``part_bytes`` (or one element)."""
    if tensor.nbytes <= part_bytes or tensor.numel() <= 1:
        if tensor.numel():
            yield tensor
        return
    row_bytes = tensor.nbytes // tensor.shape[0]
    rows = max(1, part_bytes // row_bytes)
    for start in range(0, tensor.shape[0], rows):
        part = tensor.narrow(0, start, min(rows, tensor.shape[0] - start))
        if part.shape[0] == 1 and part.nbytes > part_bytes:
            yield from split_rows(part.squeeze(0), part_bytes)
        else:
            yield part


def _shared_memory_left() -> int:
    try:
        stat = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return stat.f_bavail * stat.f_frsize


def _pin(address: int, size_bytes: int) -> bool:
    if not torch.cuda.is_available():
        return False
    return int(torch.cuda.cudart().cudaHostRegister(address, size_bytes, 0)) == 0


def _unpin(address: int, storage: Any) -> None:
    # `storage` is an argument so that it outlives the registration.
    torch.cuda.cudart().cudaHostUnregister(address)
