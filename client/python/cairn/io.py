"""Files and shards: the objects that touch bytes.

Memory is used in place, never copied: anything with the buffer protocol (``bytes``, ``memoryview``, numpy arrays) or
a contiguous torch CPU tensor.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from cairn.errors import FailedPrecondition, InvalidArgument, OutOfRange

if TYPE_CHECKING:
    from cairn import _cairn

__all__ = ["File", "ShardWriter"]

# A whole shard may be one write; handed over in parts of this many pieces so that a list of millions needs no
# equally long list of references at once.
_PIECES_AT_ONCE = 4096


def _check_offset(offset: int) -> int:
    # The SDK's are unsigned 64-bit numbers: what does not fit would be a TypeError of the extension.
    if not 0 <= offset < 1 << 64:
        raise InvalidArgument(f"{offset} is no offset in a file")
    return offset


class File:
    """A file opened for reading, in the version it had then. Thread-safe.

    Its bytes stay readable while it is open and for the servers' grace period after it was replaced or removed.
    Made by :meth:`cairn.Client.open`. Not usable in a child process after ``fork()``.
    """

    def __init__(self, handle: _cairn.File, path: str) -> None:
        self._file: _cairn.File | None = handle
        self.path = path
        self.size_bytes: int = handle.size_bytes

    @property
    def crc32c(self) -> int:
        """The CRC32C of the whole content, as it was committed."""
        return self._handle().crc32c

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """The bytes of ``[offset, offset + length)``, to the end of the file when ``length`` is None.

        Verified block by block. Raises OutOfRange past the end, DataLoss for damaged bytes.
        """
        _check_offset(offset)
        if length is None:
            length = max(self.size_bytes - offset, 0)
        # Before memory is taken for it.
        if length < 0 or length > max(self.size_bytes - offset, 0):
            raise OutOfRange(f"{length} bytes from {offset} on are not in {self.path}, which has {self.size_bytes}")
        if length == 0:
            self._handle()
            return b""
        return self._handle().read(offset, length)

    def readinto(self, buffer: Any, offset: int = 0) -> None:
        """Fills ``buffer`` (writable, contiguous) with the bytes from ``offset`` on. Errors as :meth:`read`."""
        self.read_ranges([(offset, buffer)])

    def read_ranges(self, ranges: Iterable[tuple[int, Any]]) -> None:
        """Fills every ``(offset, buffer)``, all in parallel, reading only the blocks touched.

        On an error the buffers' contents are undefined. Errors as :meth:`read`.
        """
        self._handle().read_ranges([(_check_offset(offset), buffer) for offset, buffer in ranges])

    def close(self) -> None:
        """Lets go of the file. Harmless when repeated."""
        self._file = None

    def _handle(self) -> _cairn.File:
        if self._file is None:
            raise FailedPrecondition(f"{self.path} is closed")
        return self._file

    def __len__(self) -> int:
        return self.size_bytes

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cairn.File {self.path!r}, {self.size_bytes} bytes>"


class ShardWriter:
    """One file on its way into a checkpoint, or a plain file. One thread at a time.

    As a context manager it closes at the end of the block, and abandons what was written when the block raises.
    Dropping one that was not closed abandons it.
    """

    def __init__(self, handle: _cairn.ShardWriter, name: str) -> None:
        self._shard = handle
        self._open = True
        self.name = name

    @property
    def size_bytes(self) -> int:
        """Bytes written so far."""
        return self._shard.size_bytes

    def write(self, *pieces: Any) -> None:
        """Appends the pieces, without copying.

        Returns when the SDK has taken them, while they are still on their way: **their memory must stay as it is
        until** :meth:`flush`, :meth:`close` **or** :meth:`abandon` **returns**. The objects are referenced until then.
        Raises InvalidArgument for memory that is not contiguous or not on the host.
        """
        for start in range(0, len(pieces), _PIECES_AT_ONCE):
            self._shard.write(pieces[start : start + _PIECES_AT_ONCE])

    def flush(self) -> None:
        """Makes everything written so far durable; the memory is the caller's again. Costs a sync a target."""
        self._shard.flush()

    def close(self) -> None:
        """:meth:`flush`, and the content is complete.

        A plain file is visible and durable when this returns; a shard becomes visible with its checkpoint's commit.
        A second close raises FailedPrecondition.
        """
        self._open = False
        self._shard.close()

    def abandon(self) -> None:
        """Gives up; nothing written becomes visible. The memory is the caller's again. Harmless when repeated."""
        self._open = False
        self._shard.abandon()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return
        if kind is None:
            self.close()
        else:
            self.abandon()

    def __repr__(self) -> str:
        return f"<cairn.ShardWriter {self.name!r}, {self.size_bytes} bytes>"
