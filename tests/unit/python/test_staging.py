"""cairn.torch.staging without a server: what is copied, when it may be used, and for how long."""

import os
import types

import torch
from cairn.torch import staging


class _Piece:
    """A tensor on a device that this machine lacks."""

    def __init__(self, device, nbytes):
        self.device = torch.device(device)
        self.nbytes = nbytes


def test_every_device_of_a_batch_is_waited_for(monkeypatch):
    waited = []

    class Event:
        def record(self, stream):
            self.stream = stream

        def synchronize(self):
            waited.append(self.stream)

    module = types.SimpleNamespace(Event=Event, current_stream=lambda device: f"stream of {device}")
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    monkeypatch.setattr(staging, "_copy_bytes", lambda target, piece: None)
    reader = staging.DeviceReader(4 << 20, lambda: None, total_bytes=32, pinned=False)
    reader._next_buffer()
    pieces = [_Piece("cuda:0", 8), _Piece("cpu", 8), _Piece("cuda:1", 8), _Piece("cuda:0", 8)]
    memory, wait = reader._copy(pieces)
    assert memory.nbytes == 32 and not waited
    wait()
    assert sorted(waited) == ["stream of cuda:0", "stream of cuda:1"]


def read_through(groups, buffer_bytes):
    """The bytes of `groups` of tensors, a call each, through a reader; how often it flushed; its memory."""
    everything = [tensor for group in groups for tensor in group]
    sent = []  # referenced, not copied, as a shard does until it is flushed
    content = bytearray()
    flushes = 0

    def settle():
        content.extend(b"".join(piece.numpy().tobytes() for piece in sent))
        sent.clear()

    def flush():
        nonlocal flushes
        flushes += 1
        settle()

    total = sum(tensor.nbytes for tensor in everything)
    reader = staging.DeviceReader(buffer_bytes, flush, total_bytes=total, pinned=False)
    for group in groups:
        for piece in reader.parts(group):
            sent.append(piece)
    settle()
    expected = b"".join(tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes() for tensor in everything)
    assert bytes(content) == expected
    return flushes, sum(buffer.nbytes for buffer in reader._buffers)


def test_calls_go_on_filling_a_buffer():
    groups = [[torch.randn(50, 30).t(), torch.randn(7, 3).t()] for _ in range(40)]
    flushes, memory = read_through(groups, 4 << 20)
    assert flushes == 0, "all of it fits one buffer"
    assert memory == sum(tensor.nbytes for group in groups for tensor in group)


def test_flushes_and_memory_depend_on_the_bytes_alone():
    tensors = [torch.randn(300, 250 + index).t() for index in range(40)]
    one_call = read_through([tensors], 4 << 20)
    many_calls = read_through([[tensor] for tensor in tensors], 4 << 20)
    assert one_call == many_calls
    assert one_call[0] >= 3 and one_call[1] <= 4 << 20


def test_memory_is_in_use_while_a_tensor_in_it_lives():
    staging.release_staging()
    state = {"inner": {"a": torch.randn(1000)}, "b": torch.randn(10)}
    staged = staging.HostStager().stage(state)
    (arena,) = staging._arenas
    kept = staged["inner"]["a"]
    del staged
    assert arena.in_use, "a tensor that was taken out of the state dict"
    again = staging.HostStager().stage(state)
    assert torch.equal(kept, state["inner"]["a"]) and again["b"].data_ptr() != kept.data_ptr()
    assert again["b"].untyped_storage().data_ptr() != kept.untyped_storage().data_ptr()
    del kept
    assert not arena.in_use
    view = again["b"][3:]
    del again
    assert [each.in_use for each in staging._arenas] == [False, True]
    del view
    assert not any(each.in_use for each in staging._arenas)


def test_memory_is_free_again_after_a_staging_that_failed():
    class Stubborn:
        def __deepcopy__(self, memo):
            raise RuntimeError("planted")

    staging.release_staging()
    try:
        staging.HostStager().stage({"a": torch.randn(1000), "b": Stubborn()})
    except RuntimeError as error:
        error.__traceback__ = None
    assert not any(arena.in_use for arena in staging._arenas)


def test_measuring_builds_nothing(monkeypatch):
    class Tracked(dict):
        pass

    state = {"a": [torch.randn(4), Tracked(b=torch.randn(3))], "t": (torch.randn(2), 1)}
    built = []
    rebuild = staging._rebuild
    monkeypatch.setattr(staging, "_rebuild", lambda value, replace: (built.append(value), rebuild(value, replace))[1])
    seen = []
    for value in state.values():
        staging._visit(value, seen.append)
    assert not built and [tensor.numel() for tensor in seen] == [4, 3, 2]


def test_a_child_does_not_inherit_a_lock_that_is_held():
    with staging._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if staging._lock.acquire(blocking=False) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
