"""The connection to a cluster.

Holds what the C++ client cannot: it connects at the first call, pickles as its address, and connects anew in a child
process, where the inherited connection is left alone. Next on the data path: client/python/bindings/client.cc.
"""

from __future__ import annotations

import builtins
import json
import os
import threading
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from cairn import _cairn
from cairn.checkpoint import CheckpointWriter
from cairn.errors import FailedPrecondition, InvalidArgument
from cairn.io import File, ShardWriter
from cairn.types import CheckpointInfo, Entry, RetentionPolicy, ShardInfo

__all__ = ["Client"]

DEFAULT_ENDPOINT = "127.0.0.1:7440"


class Client:
    """A cluster, by address. Cheap to make: it connects at the first call. Thread-safe.

    Pickles as its address and options, and connects anew after ``fork()`` or in a spawned process. Paths are
    ``bucket/directory/.../name``.

    Args:
        endpoint: ``HOST:PORT[,HOST:PORT...]``. None: ``CAIRN_ENDPOINT`` from the environment, read at the first
            connection, else ``127.0.0.1:7440``.
        timeout: seconds for a call as a whole, retries and reconnects included; the first connection has 5 s of them:
            a wrong address shall show soon. Where bytes move (writing, closing, reading) it bounds each stripe of
            4 MiB from its turn on the node and each seal instead, and the wait for a turn while no transfer of this
            client ends well.
        window: fragments (of 4 MiB) on their way at once, all nodes together.

    Every method may raise Unavailable (no node answered; safe to try again) and DeadlineExceeded.
    """

    def __init__(self, endpoint: str | None = None, *, timeout: float = 60.0, window: int = 16) -> None:
        self._endpoint = endpoint
        self._timeout = float(timeout)
        self._window = int(window)
        self._lock = threading.Lock()
        self._handle: _cairn.Client | None = None
        self._closed = False
        _clients.add(self)

    # -- the connection

    @property
    def endpoint(self) -> str:
        """The address it connects to."""
        return self._endpoint or os.environ.get("CAIRN_ENDPOINT") or DEFAULT_ENDPOINT

    def connect(self) -> Client:
        """Connects now, where the first call would. Raises Unavailable, saying which addresses were tried."""
        self._client()
        return self

    def close(self) -> None:
        """Closes the connection. Files and writers made from it keep it alive until they are closed."""
        with self._lock:
            self._handle = None
            self._closed = True

    def status(self) -> dict[str, Any]:
        """The node's own status: cluster, targets, sessions, counters."""
        return json.loads(self._client().status_json())

    # -- checkpoints: directories that appear whole

    def begin_checkpoint(
        self,
        path: str,
        *,
        world_size: int = 1,
        rank: int = 0,
        attempt: int = 0,
        job: str = "",
        step: int | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> CheckpointWriter:
        """Begins an attempt at the checkpoint ``path``, or joins it.

        Args:
            world_size: ranks that take part, the same for all.
            rank: this one, in ``[0, world_size)``.
            attempt: 0 joins the open attempt if it lacks this rank, else starts the next. Jobs that can agree on a
                number (rank 0 begins and tells the others) should: then a stale rank is refused.
            job: names the job; two live jobs on one checkpoint name refuse each other. Empty: no such check.
            step: default: the digits that the name ends in.
            attributes: kept with the checkpoint and shown; at most 64, 4 KiB in all.

        Raises NotFound (no such bucket), FailedPrecondition (another job, another world size), Aborted (a newer
        attempt than ``attempt`` is under way).
        """
        _check_number("world_size", world_size, 32)
        _check_number("rank", rank, 32)
        _check_number("attempt", attempt, 64)
        if step is not None:
            _check_number("step", step, 64)
        handle = self._client().begin_checkpoint(
            path, world_size, rank, attempt, job, step, dict(attributes or {})
        )
        return CheckpointWriter(handle, self._timeout)

    def latest_checkpoint(self, directory: str) -> CheckpointInfo:
        """The newest committed checkpoint directly in ``directory``. Raises NotFound when there is none."""
        return CheckpointInfo(**self._client().latest_checkpoint(directory))

    def show_checkpoint(self, path: str) -> CheckpointInfo:
        """A checkpoint with its ``shards``. Raises NotFound."""
        shown = self._client().show_checkpoint(path)
        shards = [ShardInfo(**shard) for shard in shown.pop("shards")]
        return CheckpointInfo(**shown, shards=shards)

    def list_checkpoints(
        self, directory: str = "", *, include_writing: bool = False, recursive: bool = False
    ) -> builtins.list[CheckpointInfo]:
        """Checkpoints in ``directory``, in name order."""
        listed = self._client().list_checkpoints(directory, include_writing, recursive)
        return [CheckpointInfo(**info) for info in listed]

    def pin_checkpoint(self, path: str) -> None:
        """No retention rule removes it until it is unpinned."""
        self._client().pin_checkpoint(path)

    def unpin_checkpoint(self, path: str) -> None:
        self._client().unpin_checkpoint(path)

    def set_retention(self, directory: str, policy: RetentionPolicy) -> None:
        """The rules for the checkpoints directly in ``directory``, applied after each commit from now on."""
        self._client().set_retention(directory, *_rules_of(policy))

    def get_retention(self, directory: str) -> RetentionPolicy:
        return RetentionPolicy(**self._client().get_retention(directory))

    def prune_checkpoints(
        self, directory: str, policy: RetentionPolicy | None = None, *, dry_run: bool = False
    ) -> builtins.list[CheckpointInfo]:
        """Applies ``policy`` (default: the one set) once, now. Returns what went, or with ``dry_run`` would go."""
        rules = policy and _rules_of(policy)
        pruned = self._client().prune_checkpoints(directory, rules, dry_run)
        return [CheckpointInfo(**info) for info in pruned]

    # -- files; a shard of a committed checkpoint is one too

    def open(self, path: str) -> File:
        """Opens a file for reading. Raises NotFound."""
        return File(self._client().open_file(path), path)

    def create(self, path: str) -> ShardWriter:
        """Streams into a new file that appears, in place of an older one, when it is closed."""
        return ShardWriter(self._client().create_file(path), path)

    def put(self, path: str, *pieces: Any) -> None:
        """Writes a file whole: visible and durable when it returns. The memory is read in place."""
        self._client().put_file(path, pieces)

    def get(self, path: str) -> bytes:
        """A whole file. Raises NotFound, DataLoss."""
        with self.open(path) as file:
            return file.read()

    def stat(self, path: str) -> Entry:
        """Raises NotFound."""
        return Entry(**self._client().stat(path))

    def list(self, path: str = "") -> builtins.list[Entry]:
        """Entries of a directory in byte order of their names; ``""`` lists the buckets."""
        return [Entry(**entry) for entry in self._client().list(path)]

    def exists(self, path: str) -> bool:
        try:
            self._client().stat(path)
        except FileNotFoundError:
            return False
        return True

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """Removes a file, an empty directory or a checkpoint; ``recursive``: anything below too."""
        self._client().remove(path, recursive)

    def rename(self, source: str, target: str) -> None:
        """Atomic; replaces a file at ``target``."""
        self._client().rename(source, target)

    def make_directory(self, path: str) -> None:
        """Makes a directory and its parents; one component makes a bucket. Harmless when it is there."""
        self._client().make_directory(path)

    # -- what makes it portable

    def _client(self) -> _cairn.Client:
        handle = self._handle
        if handle is not None:
            return handle
        with self._lock:
            if self._closed:
                raise FailedPrecondition("this client is closed")
            if self._handle is None:
                self._handle = _cairn.Client(self.endpoint, self._timeout, self._window)
            return self._handle

    def _after_fork_in_child(self) -> None:
        # The extension knows that the connection is the parent's and leaves it alone when it is dropped here. The
        # lock may have been held by a thread that does not exist in this process.
        self._handle = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return _make_client, (self._endpoint, self._timeout, self._window)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"cairn.Client({self.endpoint!r})"


def _check_number(name: str, value: int, bits: int) -> None:
    # What the SDK's unsigned number cannot hold would be a TypeError of the extension.
    if not 0 <= value < 1 << bits:
        raise InvalidArgument(f"{name} is {value}; it must be at least 0 and below 2**{bits}")


def _rules_of(policy: RetentionPolicy) -> tuple[int, int, float]:
    _check_number("keep_last", policy.keep_last, 32)
    _check_number("keep_every_steps", policy.keep_every_steps, 64)
    return policy.keep_last, policy.keep_every_steps, policy.keep_newer_than


def _make_client(endpoint: str | None, timeout: float, window: int) -> Client:
    return Client(endpoint, timeout=timeout, window=window)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _forget_connections() -> None:
    for client in list(_clients):
        client._after_fork_in_child()


os.register_at_fork(after_in_child=_forget_connections)
