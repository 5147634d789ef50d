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
    reader = staging.DeviceReader(4 << 20, lambda: None)
    monkeypatch.setattr(reader, "_buffer", lambda size, pinned: torch.empty(size, dtype=torch.uint8))
    pieces = [_Piece("cuda:0", 8), _Piece("cpu", 8), _Piece("cuda:1", 8), _Piece("cuda:0", 8)]
    memory, wait = reader._copy(pieces)
    assert memory.nbytes == 32 and not waited
    wait()
    assert sorted(waited) == ["stream of cuda:0", "stream of cuda:1"]
