"""One shard on its way out: from a layout to a gather list.

Tensors in host memory are handed over in place. Next on the data path: cairn/io.py, client/io/write_path.cc.
"""

from __future__ import annotations

import torch
from cairn.io import ShardWriter
from cairn.torch.layout import ShardLayout
from cairn.torch.staging import DeviceReader

__all__ = ["SMALL_BYTES", "write_layout"]

# A stripe of 4 MiB holds at most 256 pieces, each read by a transfer of its own: pieces smaller than this are joined
# in a buffer of ours, the only bytes of tensors in host memory that are copied.
SMALL_BYTES = 16 << 10
_JOINED_BYTES = 1 << 20


def write_layout(shard: ShardWriter, layout: ShardLayout, staging_bytes: int) -> None:
    """Writes the header and the parts. The shard references their memory until it is flushed or closed."""
    pieces = _Pieces(shard)
    reader = DeviceReader(staging_bytes, pieces.flush)
    pieces.add(layout.header)
    staged: list[torch.Tensor] = []
    for part in layout.parts:
        if isinstance(part.data, torch.Tensor) and not _in_place(part.data):
            staged.append(part.data)
            continue
        _write_staged(pieces, reader, staged)
        if part.nbytes:
            pieces.add(part.data)
    _write_staged(pieces, reader, staged)
    pieces.send()


def _in_place(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu" and tensor.is_contiguous()


def _write_staged(pieces: _Pieces, reader: DeviceReader, staged: list[torch.Tensor]) -> None:
    if not staged:
        return
    for part in reader.parts(staged):
        pieces.add(part)
        pieces.send()
    staged.clear()


class _Pieces:
    """A gather list being collected; small neighbours are joined."""

    def __init__(self, shard: ShardWriter) -> None:
        self._shard = shard
        self._pieces: list[bytes | memoryview | torch.Tensor] = []
        self._joined: torch.Tensor | None = None
        self._joined_start = 0
        self._joined_end = 0

    def add(self, piece: bytes | memoryview | torch.Tensor) -> None:
        size = piece.nbytes if not isinstance(piece, bytes) else len(piece)
        if size >= SMALL_BYTES:
            self._close_joined()
            self._pieces.append(piece)
            return
        if self._joined is None or self._joined_end + size > _JOINED_BYTES:
            self._close_joined()
            self._joined = torch.empty(_JOINED_BYTES, dtype=torch.uint8)
            self._joined_start = self._joined_end = 0
        if not isinstance(piece, torch.Tensor):
            source = torch.frombuffer(bytearray(piece), dtype=torch.uint8)
        else:
            source = piece.view(-1).view(torch.uint8)
        self._joined[self._joined_end : self._joined_end + size].copy_(source)
        self._joined_end += size

    def send(self) -> None:
        self._close_joined()
        pieces, self._pieces = self._pieces, []
        if pieces:
            self._shard.write(*pieces)

    def flush(self) -> None:
        self.send()
        self._shard.flush()

    def _close_joined(self) -> None:
        if self._joined is not None and self._joined_end > self._joined_start:
            self._pieces.append(self._joined[self._joined_start : self._joined_end])
            self._joined_start = self._joined_end
