"""One rank's part in writing one checkpoint."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from cairn.errors import CairnError, DeadlineExceeded, Unavailable
from cairn.io import ShardWriter
from cairn.types import CheckpointInfo

if TYPE_CHECKING:
    from cairn import _cairn

__all__ = ["CheckpointWriter"]

# A commit waits for other ranks in slices of this many seconds, so that an interrupted one stops soon and does not
# commit behind the caller's back.
_COMMIT_SLICE = 2.0
# Between two tries of a commit that found no server: much to a refused connection, little to a server's restart.
_RETRY_PAUSE = 0.1


class CheckpointWriter:
    """One rank's part in writing one checkpoint. Made by :meth:`cairn.Client.begin_checkpoint`. Thread-safe.

    As a context manager it aborts the attempt, for all ranks, when the block raises; at a normal end it does nothing.
    """

    def __init__(self, handle: _cairn.CheckpointWriter, patience: float = 60.0) -> None:
        # `patience`: how long, in seconds, a commit puts up with servers that do not answer.
        self._writer = handle
        self._patience = patience

    @property
    def attempt(self) -> int:
        """The number of this attempt; tell it to the other ranks so that stale ones are refused."""
        return self._writer.attempt

    @property
    def path(self) -> str:
        return self._writer.path

    def shard(self, name: str) -> ShardWriter:
        """Starts a shard: a file ``name``, a relative path unique in the checkpoint.

        Several shards of one rank may be written side by side by several threads.
        """
        return ShardWriter(self._writer.new_shard(name), name)

    def rank_done(self) -> None:
        """All shards of this rank are closed, and there will be no more. Durable when it returns."""
        self._writer.rank_done()

    def commit(self, timeout: float = 600.0) -> CheckpointInfo:
        """Waits up to ``timeout`` seconds for the other ranks and makes the checkpoint visible, atomically.

        It takes the place of an older one of that name, which stays whole until then. One rank calls it, or several:
        it is idempotent. Raises DeadlineExceeded, naming the ranks that are missing, and leaves the attempt open;
        Aborted when the attempt was aborted or superseded; Unavailable when no server answered for the client's
        timeout: then it may have been committed or not. Durable when it returns.
        """
        answered = time.monotonic()
        deadline = answered + timeout
        while True:
            remaining = max(deadline - time.monotonic(), 0.0)
            try:
                return CheckpointInfo(**self._writer.commit(min(remaining, _COMMIT_SLICE)))
            except DeadlineExceeded:
                if remaining <= _COMMIT_SLICE:
                    raise
                answered = time.monotonic()
            except Unavailable:
                # A slice is shorter than a server takes to restart, and the save is complete but for this.
                if remaining <= _COMMIT_SLICE or time.monotonic() - answered >= self._patience:
                    raise
                # Some refusals come at once.
                time.sleep(_RETRY_PAUSE)

    def abort(self, reason: str) -> None:
        """Drops the attempt of all ranks and its space. Other ranks see Aborted with ``reason``."""
        self._writer.abort(reason)

    def __enter__(self) -> CheckpointWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            return
        try:
            self.abort(f"{kind.__name__}: {error}"[:1000])
        except CairnError:
            pass  # the error of the block is the one to report; the lease ends the attempt anyway

    def __repr__(self) -> str:
        return f"<cairn.CheckpointWriter {self.path!r}, attempt {self.attempt}>"
