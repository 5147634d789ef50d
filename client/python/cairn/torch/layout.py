"""How one rank's tensors lie in its shard: a valid safetensors file.

Pure: from items to a header and a gather list, no I/O. A tensor saved whole is named by its fully qualified name
(fqn); a piece of a sharded tensor, by fqn and its offsets in the whole, ``layers.0.weight@128_0``. ``__metadata__``
holds ``cairn.chunks``, a JSON object from such a name to ``{"fqn", "global_shape", "offsets"}``. Python objects and
what safetensors has no type for are stored as ``U8``; ``cairn.objects`` and ``cairn.dtypes`` name those. The header is
padded with spaces so that data starts on a block boundary. Next on the data path: writer.py.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.distributed._functional_collectives import AsyncCollectiveTensor

__all__ = ["Encoding", "Part", "ShardLayout", "StoredItem", "is_in_place", "lay_out"]

# Stored content is checksummed in blocks of this size. Data that starts on a block boundary is read without the
# header's block; small shards are not worth the padding.
_BLOCK_BYTES = 64 << 10
_SMALL_ALIGNMENT = 4096

_SAFETENSORS_DTYPES: dict[torch.dtype, str] = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
    torch.complex64: "C64",
}
for _name, _stored in (
    ("uint16", "U16"),
    ("uint32", "U32"),
    ("uint64", "U64"),
    ("float8_e4m3fn", "F8_E4M3"),
    ("float8_e5m2", "F8_E5M2"),
    ("float8_e8m0fnu", "F8_E8M0"),
):
    if hasattr(torch, _name):
        _SAFETENSORS_DTYPES[getattr(torch, _name)] = _stored


class Encoding:
    """What a stored item's bytes are."""

    RAW = 0  # a tensor's elements, row-major
    TORCH_SAVE = 1  # torch.save of a tensor without plain memory: sparse, quantized, subclasses
    OBJECT = 2  # the bytes that the planner made of a Python object


@dataclass(frozen=True)
class StoredItem:
    """Where one item of a plan lies; in ``Metadata.storage_data``, by its index.

    ``shape`` and ``dtype`` are those of the stored piece when ``encoding`` is RAW.
    """

    relative_path: str
    offset: int
    length: int
    encoding: int = Encoding.RAW
    shape: tuple[int, ...] = ()
    dtype: torch.dtype | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        # Gathered from all ranks by the thousand: without field names it is a third of the size.
        return StoredItem, (
            self.relative_path,
            self.offset,
            self.length,
            self.encoding,
            self.shape,
            self.dtype,
        )


@dataclass
class Part:
    """One item on its way into a shard. ``data``: a tensor on any device, or bytes."""

    fqn: str
    data: torch.Tensor | memoryview
    encoding: int
    global_shape: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()
    is_chunk: bool = False
    tag: Any = None  # the caller's

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    @property
    def name(self) -> str:
        if self.is_chunk:
            return f"{self.fqn}@{'_'.join(map(str, self.offsets))}"
        # The one name that the format reserves.
        return "__metadata__@" if self.fqn == "__metadata__" else self.fqn


@dataclass
class ShardLayout:
    """``header``, then ``parts`` one behind the other; ``offsets`` are theirs, from the start of the file."""

    header: bytes
    parts: list[Part] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        return len(self.header) + sum(part.nbytes for part in self.parts)


def encode_tensor(tensor: torch.Tensor) -> tuple[torch.Tensor | memoryview, int]:
    """A tensor as it is stored: itself, or its torch.save where it has no plain memory."""
    if isinstance(tensor, AsyncCollectiveTensor):
        tensor = tensor.wait()
    tensor = tensor.detach()
    plain = (
        tensor.layout == torch.strided
        and not tensor.is_quantized
        and (tensor.numel() == 0 or tensor.device.type != "cpu" or tensor.data_ptr() != 0)
        and type(tensor) in (torch.Tensor, torch.nn.Parameter)
    )
    if plain:
        return tensor.resolve_conj().resolve_neg(), Encoding.RAW
    buffer = io.BytesIO()
    torch.save(tensor, buffer)
    return buffer.getbuffer(), Encoding.TORCH_SAVE


def lay_out(parts: Sequence[Part], small_bytes: int) -> ShardLayout:
    """Orders the parts and describes them.

    Wide elements first, so that each tensor is aligned to its own elements; bytes last, because their length is
    odd. Among equals what is sent in place comes first, then what passes through a buffer, and of each those under
    ``small_bytes``: the writer joins neighbours of a kind, so that the sends do not grow with their alternations.
    """
    ordered = sorted(parts, key=lambda part: (-_alignment(part), not is_in_place(part), part.nbytes >= small_bytes))
    entries: dict[str, Any] = {}
    chunks: dict[str, Any] = {}
    objects: dict[str, str] = {}
    dtypes: dict[str, str] = {}
    starts: list[int] = []
    position = 0
    for part in ordered:
        entry, dtype = _describe(part)
        entry["data_offsets"] = [position, position + part.nbytes]
        if part.name in entries:
            raise ValueError(f"two items of this rank have the name {part.name!r}")
        entries[part.name] = entry
        starts.append(position)
        position += part.nbytes
        if part.is_chunk:
            chunks[part.name] = {
                "fqn": part.fqn,
                "global_shape": list(part.global_shape),
                "offsets": list(part.offsets),
            }
        if part.encoding != Encoding.RAW:
            objects[part.name] = "torch_save" if part.encoding == Encoding.TORCH_SAVE else "object"
        elif dtype is not None:
            dtypes[part.name] = dtype
    metadata = {"format": "pt", "cairn.version": "1"}
    for key, value in (("cairn.chunks", chunks), ("cairn.objects", objects), ("cairn.dtypes", dtypes)):
        if value:
            metadata[key] = json.dumps(value, separators=(",", ":"))
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    alignment = _BLOCK_BYTES if position >= 16 * _BLOCK_BYTES else _SMALL_ALIGNMENT
    padding = -(8 + len(text)) % alignment
    header = struct.pack("<Q", len(text) + padding) + text + b" " * padding
    return ShardLayout(header, ordered, [len(header) + start for start in starts])


def is_in_place(part: Part) -> bool:
    """Whether its memory can be sent as it is."""
    data = part.data
    return not isinstance(data, torch.Tensor) or (data.device.type == "cpu" and data.is_contiguous())


def _alignment(part: Part) -> int:
    if part.encoding != Encoding.RAW:
        return 0
    assert isinstance(part.data, torch.Tensor)
    return part.data.element_size()


def _describe(part: Part) -> tuple[dict[str, Any], str | None]:
    """The header's entry, and the dtype's own name where safetensors has none for it."""
    if part.encoding != Encoding.RAW:
        return {"dtype": "U8", "shape": [part.nbytes]}, None
    assert isinstance(part.data, torch.Tensor)
    shape = list(part.data.shape)
    stored = _SAFETENSORS_DTYPES.get(part.data.dtype)
    if stored is not None:
        return {"dtype": stored, "shape": shape}, None
    return {"dtype": "U8", "shape": [*shape, part.data.element_size()]}, str(part.data.dtype)
