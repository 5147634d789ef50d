"""cairn.torch.staging without a server: what is copied, when it may be used, and for how long."""

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
