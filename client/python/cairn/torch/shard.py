"""One shard on its way out: from a layout to a gather list.

Tensors in host memory are handed over in place. Next on the data path: cairn/io.py, client/io/write_path.cc.
"""

from __future__ import annotations

import itertools

import torch
from cairn.io import ShardWriter
from cairn.torch.layout import ShardLayout, is_in_place
from cairn.torch.staging import DeviceReader

__all__ = ["SMALL_BYTES", "write_layout"]

# A stripe of 4 MiB holds at most 256 pieces, each read by a transfer of its own: pieces smaller than this are joined
# in a buffer of ours, the only bytes of tensors in host memory that are copied.
SMALL_BYTES = 16 << 10
_JOINED_BYTES = 1 << 20


def write_layout(shard: ShardWriter, layout: ShardLayout, staging_bytes: int) -> None:
    """Writes the header and the parts. The shard references their memory until it is flushed or closed."""
    pieces = _Pieces(shard)
    through_buffers = [part.data for part in layout.parts if not is_in_place(part)]
    reader = DeviceReader(
        staging_bytes,
        pieces.flush,
        total_bytes=sum(tensor.nbytes for tensor in through_buffers),
        pinned=any(tensor.device.type != "cpu" for tensor in through_buffers),
    )
    pieces.add(layout.header)
    for in_place, parts in itertools.groupby(layout.parts, is_in_place):
        if in_place:
            for part in parts:
                if part.nbytes:
                    pieces.add(part.data)
            continue
        for memory in reader.parts([part.data for part in parts]):
            pieces.add(memory)
            pieces.send()
    pieces.send()


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
