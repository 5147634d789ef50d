"""The fsspec scheme ``cairn://bucket/path``.

Registered by entry point, so that anything that speaks fsspec (pandas, pyarrow, ``torch.distributed.checkpoint``)
reads and writes Cairn by URL. The endpoint is the ``endpoint`` storage option, else ``CAIRN_ENDPOINT``. Files appear
when they are closed, whole, and not at all when the block that writes them raises.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

from cairn.client import Client
from cairn.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from cairn.io import File, ShardWriter
from cairn.types import Entry
from fsspec.spec import AbstractFileSystem

__all__ = ["CairnFile", "CairnFileSystem", "CairnOutput"]

# Read ahead for small reads; larger ones go straight into the caller's memory. One stripe.
_READ_BUFFER = 4 << 20
# Python may reuse the memory given to write() at once, so it is copied, into blocks of one stripe ...
_WRITE_BLOCK = 4 << 20
# ... which the servers read in place until a flush. This many are held before one: at 128 MiB its sync costs little.
_WRITE_BLOCKS_MAX = 32


class CairnFileSystem(AbstractFileSystem):
    """Cairn as an fsspec file system.

    Args:
        endpoint: ``HOST:PORT[,HOST:PORT...]``; None: ``CAIRN_ENDPOINT``, else ``127.0.0.1:7440``.
        timeout: seconds for a call as a whole; of reads and writes, for each stripe (as of :class:`cairn.Client`).
        client: a :class:`cairn.Client` to use instead.
    """

    protocol = "cairn"
    root_marker = ""

    def __init__(
        self,
        endpoint: str | None = None,
        timeout: float = 60.0,
        client: Client | None = None,
        **storage_options: Any,
    ) -> None:
        super().__init__(**storage_options)
        self.client = client if client is not None else Client(endpoint, timeout=timeout)

    @property
    def fsid(self) -> str:
        return f"cairn_{self.client.endpoint}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        path = os.fspath(path)
        if path.startswith("cairn://"):
            path = path[len("cairn://") :]
        return path.strip("/")

    def unstrip_protocol(self, name: str) -> str:
        return "cairn://" + self._strip_protocol(name)

    # -- looking

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        if path == "":
            return {"name": "", "size": 0, "type": "directory"}
        return _to_info(path, self.client.stat(path))

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        path = self._strip_protocol(path)
        if path and (info := self.info(path))["type"] == "file":
            infos = [info]
        else:
            prefix = f"{path}/" if path else ""
            infos = [_to_info(prefix + entry.name, entry) for entry in self.client.list(path)]
        return infos if detail else [each["name"] for each in infos]

    def exists(self, path: str, **kwargs: Any) -> bool:
        path = self._strip_protocol(path)
        return path == "" or self.client.exists(path)

    def modified(self, path: str) -> Any:
        import datetime

        return datetime.datetime.fromtimestamp(self.info(path)["mtime"], tz=datetime.timezone.utc)

    created = modified

    def checksum(self, path: str) -> int:
        return int(self.info(path)["crc32c"])

    def ukey(self, path: str) -> str:
        info = self.info(path)
        return f"{info['crc32c']:08x}-{info['size']}"

    # -- changing the tree

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        if self.client.exists(path):
            raise AlreadyExists(f"{path} exists")
        parent = self._parent(path)
        if not create_parents and parent and not self.client.exists(parent):
            self.client.stat(parent)  # raises NotFound, in the service's words
        self.client.make_directory(path)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        path = self._strip_protocol(path)
        if path == "":
            return
        if not exist_ok and self.client.exists(path):
            raise AlreadyExists(f"{path} exists")
        self.client.make_directory(path)

    def rmdir(self, path: str) -> None:
        self.client.remove(self._strip_protocol(path))

    def rm_file(self, path: str) -> None:
        self.client.remove(self._strip_protocol(path))

    _rm = rm_file

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        if maxdepth is not None:
            super().rm(path, recursive=recursive, maxdepth=maxdepth)
            return
        for each in path if isinstance(path, list) else [path]:
            stripped = self._strip_protocol(each)
            if recursive and "*" not in stripped and "?" not in stripped and "[" not in stripped:
                self.client.remove(stripped, recursive=True)
            else:
                for found in reversed(self.expand_path(stripped, recursive=recursive)):
                    self.client.remove(found)

    def mv(self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **kwargs: Any) -> None:
        """Atomic, for files and directories; replaces a file at ``path2``."""
        if isinstance(path1, list) or isinstance(path2, list):
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kwargs)
            return
        self.client.rename(self._strip_protocol(path1), self._strip_protocol(path2))

    rename = mv
    move = mv

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        if self.isdir(path1):
            self.makedirs(path2, exist_ok=True)
            return
        with self.client.open(path1) as source, self.client.create(path2) as target:
            for start in range(0, source.size_bytes, _WRITE_BLOCK * _WRITE_BLOCKS_MAX):
                length = min(_WRITE_BLOCK * _WRITE_BLOCKS_MAX, source.size_bytes - start)
                target.write(source.read(start, length))
                target.flush()

    # -- bytes

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        with self.client.open(self._strip_protocol(path)) as file:
            first, last = _clip(start, end, file.size_bytes)
            return file.read(first, last - first)

    def cat_ranges(
        self,
        paths: list[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """All ranges of one file in one call, in parallel. ``max_gap`` is not needed: nothing is merged."""
        if not isinstance(starts, list):
            starts = [starts] * len(paths)
        if not isinstance(ends, list):
            ends = [ends] * len(paths)
        if len(starts) != len(paths) or len(ends) != len(paths):
            raise InvalidArgument("cat_ranges needs as many starts and ends as paths")
        by_file: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            by_file.setdefault(self._strip_protocol(path), []).append(index)
        results: list[Any] = [None] * len(paths)
        for path, indices in by_file.items():
            try:
                with self.client.open(path) as file:
                    clipped = [_clip(starts[i], ends[i], file.size_bytes) for i in indices]
                    buffers = [bytearray(last - first) for first, last in clipped]
                    file.read_ranges(
                        [(first, buffer) for (first, _), buffer in zip(clipped, buffers) if buffer]
                    )
                for index, buffer in zip(indices, buffers):
                    results[index] = bytes(buffer)
            except Exception as error:
                if on_error == "raise":
                    raise
                for index in indices:
                    results[index] = error
        return results

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        if mode == "create" and self.client.exists(path):
            raise AlreadyExists(f"{path} exists")
        self.client.put(path, value)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        path = self._strip_protocol(path)
        if not truncate and self.client.exists(path):
            raise NotImplementedError("a file's time alone cannot be set")
        self.client.put(path, b"")

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:
        file = super().open(path, mode, *args, **kwargs)
        if isinstance(file, io.TextIOWrapper) and file.writable():
            # io's own would publish what was written when its block raises.
            newline = kwargs.get("newline")
            return _TextOutput(file.detach(), encoding=file.encoding, errors=file.errors, newline=newline)
        return file

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Any:
        path = self._strip_protocol(path)
        if mode == "rb":
            file = self.client.open(path)
            size = block_size if isinstance(block_size, int) and block_size > 0 else _READ_BUFFER
            return CairnFile(file, self, size)
        if mode == "xb" and self.client.exists(path):
            raise AlreadyExists(f"{path} exists")
        if mode in ("wb", "xb"):
            return CairnOutput(self.client.create(path), self, path, autocommit)
        raise InvalidArgument(f"mode {mode!r}: a file is read ('rb') or written whole ('wb', 'xb')")


class _RawFile(io.RawIOBase):
    """The unbuffered side of :class:`CairnFile`."""

    mode = "rb"

    def __init__(self, file: File) -> None:
        self.file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.file.size_bytes}[whence]
        if start + offset < 0:
            raise InvalidArgument(f"a position before the start: {start + offset}")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        length = min(len(view), max(self.file.size_bytes - self._position, 0))
        if length:
            self.file.readinto(view[:length], self._position)
            self._position += length
        return length

    def readall(self) -> bytes:
        data = self.file.read(self._position) if self._position < self.file.size_bytes else b""
        self._position += len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            self.file.close()
        super().close()


class CairnFile(io.BufferedReader):
    """A file opened for reading. Reads larger than the buffer go straight into the caller's memory."""

    def __init__(self, file: File, fs: CairnFileSystem, buffer_size: int = _READ_BUFFER) -> None:
        super().__init__(_RawFile(file), min(buffer_size, max(file.size_bytes, 1)))
        self.fs = fs
        self.path = file.path
        self.size = file.size_bytes

    def info(self) -> dict[str, Any]:
        return self.fs.info(self.path)

    def readuntil(self, char: bytes = b"\n", blocks: int | None = None) -> bytes:
        if char == b"\n":
            return self.readline()
        parts: list[bytes] = []
        while byte := self.read(1):
            parts.append(byte)
            if b"".join(parts[-len(char) :]) == char:
                break
        return b"".join(parts)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _reopen, (self.fs, self.path, self.tell())


class CairnOutput(io.BufferedIOBase):
    """A file being written. It appears, durable, at ``close()``; not at all when its ``with`` block raises."""

    def __init__(self, shard: ShardWriter, fs: CairnFileSystem, path: str, autocommit: bool = True) -> None:
        self._shard: ShardWriter | None = shard
        self._pid = os.getpid()
        self._block = bytearray(_WRITE_BLOCK)
        self._filled = 0
        self._sent: list[bytearray] = []  # read by the servers until the next flush
        self._free: list[bytearray] = []
        self._position = 0
        self._sync_fd: int | None = None
        self.autocommit = autocommit
        self.fs = fs
        self.path = path
        self.mode = "wb"

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    @property
    def size(self) -> int:
        return self._position

    def write(self, data: Any, /) -> int:
        self._check_open()
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view):
            taken = min(_WRITE_BLOCK - self._filled, len(view) - done)
            self._block[self._filled : self._filled + taken] = view[done : done + taken]
            self._filled += taken
            done += taken
            if self._filled == _WRITE_BLOCK:
                self._send()
        self._position += done
        return done

    def flush(self) -> None:
        """Nothing: a part of a file cannot be seen, and close() makes the whole durable."""

    def fileno(self) -> int:
        """A read-only descriptor that is good for ``os.fsync`` alone, where that does nothing.

        For callers such as torch's FsspecWriter, which call ``os.fsync(file.fileno())`` before they close, and
        where there is no descriptor ``os.sync()``, which stalls the whole machine. Durable is what close() makes.
        """
        self._check_open()
        if self._sync_fd is None:
            memory = os.memfd_create("cairn-fsync")
            try:
                self._sync_fd = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY | os.O_CLOEXEC)
            finally:
                os.close(memory)
        return self._sync_fd

    def close(self) -> None:
        """Makes the file durable and visible; in a transaction, only durable until ``commit``."""
        if self.closed:
            return
        try:
            if self._shard is not None:
                self._send()
                if self.autocommit:
                    self.commit()
                else:
                    self._flush_blocks()
        except BaseException:
            self.discard()
            raise
        finally:
            self._forget_fd()
            super().close()

    def commit(self) -> None:
        """Makes the file visible."""
        shard, self._shard = self._shard, None
        if shard is not None:
            try:
                shard.close()
            finally:
                self._sent.clear()

    def discard(self) -> None:
        """Drops what was written."""
        shard, self._shard = self._shard, None
        # In a child of fork() the file is the parent's still: here it is only forgotten.
        if shard is not None and self._pid == os.getpid():
            shard.abandon()
        self._sent.clear()
        self._forget_fd()
        if not self.closed:
            super().close()

    def _send(self) -> None:
        if self._filled == 0 or self._shard is None:
            return
        self._shard.write(memoryview(self._block)[: self._filled])
        self._sent.append(self._block)
        self._filled = 0
        if len(self._sent) == _WRITE_BLOCKS_MAX:
            self._flush_blocks()
        self._block = self._free.pop() if self._free else bytearray(_WRITE_BLOCK)

    def _flush_blocks(self) -> None:
        if self._shard is not None:
            self._shard.flush()
        self._free.extend(self._sent)
        self._sent.clear()

    def _check_open(self) -> None:
        if self._shard is None or self.closed:
            raise FailedPrecondition(f"{self.path} is closed")

    def _forget_fd(self) -> None:
        fd, self._sync_fd = self._sync_fd, None
        if fd is not None:
            os.close(fd)

    def __enter__(self) -> CairnOutput:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def __del__(self) -> None:
        # io's own would close, and so publish half a file.
        if getattr(self, "_shard", None) is not None:
            self.discard()


class _TextOutput(io.TextIOWrapper):
    """A text file being written; as :class:`CairnOutput` when its block raises."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._drop()
        else:
            self.close()

    def __del__(self) -> None:
        try:
            if not self.closed:
                self._drop()
        except ValueError:
            pass  # dropped already: io has no other way to ask
        except FailedPrecondition:
            pass  # of the parent process, which has it still: detach() sends what is pending

    def _drop(self) -> None:
        below = self.detach()
        if isinstance(below, CairnOutput):
            below.discard()


def _reopen(fs: CairnFileSystem, path: str, position: int) -> CairnFile:
    file = fs.open(path, "rb")
    file.seek(position)
    return file


def _to_info(path: str, entry: Entry) -> dict[str, Any]:
    return {
        "name": path,
        "size": entry.size_bytes if entry.type == "file" else 0,
        "type": "directory" if entry.type in ("directory", "checkpoint") else "file",
        "mtime": entry.modified,
        "mode": entry.mode,
        "ino": entry.inode,
        "crc32c": entry.crc32c,
        "islink": entry.type == "symlink",
        "cairn_type": entry.type,
    }


def _clip(start: int | None, end: int | None, size: int) -> tuple[int, int]:
    """A slice's first and last byte, as Python slices count."""
    first, last, _ = slice(start, end).indices(size)
    return first, max(first, last)
