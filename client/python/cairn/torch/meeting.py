"""How ranks that save without collectives agree on one attempt.

Rank 0 begins it and leaves its number in the process group's key-value store, where the others read it: no collective,
and never an attempt of an earlier run. Next on the data path: writer.py.
"""

from __future__ import annotations

import os
import threading
import time
import weakref

import torch.distributed as dist
from cairn.errors import DeadlineExceeded, FailedPrecondition
from torch.distributed import distributed_c10d

__all__ = ["Meeting"]

# Asking is a round trip to rank 0's host: often at first, since rank 0 is two metadata calls away.
_POLL_MIN = 0.005
_POLL_MAX = 0.25

# Saves of each path in each process group so far, so that every save has a key of its own. All ranks save the same
# paths in the same order. Ends with its group.
_saves: weakref.WeakKeyDictionary[dist.ProcessGroup, dict[str, int]] = weakref.WeakKeyDictionary()
_saves_lock = threading.Lock()


class Meeting:
    """Who saves together, and where they leave word for each other.

    Pickles without its process group: a process that saves for this one has a group of its own.
    """

    def __init__(self, process_group: dist.ProcessGroup | None, world_size: int | None, rank: int | None) -> None:
        self._process_group = process_group
        self._world_size = world_size
        self._rank = rank

    def world_size(self) -> int:
        if self._world_size is not None:
            return self._world_size
        group = self._group()
        return dist.get_world_size(group) if group is not None else 1

    def rank_of(self, rank: int) -> int:
        """This rank, where the save says ``rank``. Raises FailedPrecondition when they are of different groups."""
        if self._rank is not None:
            return self._rank
        group = self._group()
        if group is not None and rank != (expected := dist.get_rank(group)):
            raise FailedPrecondition(
                f"the save calls this rank {rank}, in its writer's process group it is {expected}; give the writer "
                "what the save has: process_group=, or rank= and world_size="
            )
        return rank

    def has_store(self) -> bool:
        """Whether word can be left. Not where the ranks are said to be others than the group's."""
        group = self._group()
        return group is not None and self._world_size in (None, dist.get_world_size(group))

    def job_of_this_run(self, job: str) -> str:
        """A name that no earlier run of this job had, by torchrun's environment. Raises FailedPrecondition."""
        run = os.environ.get("TORCHELASTIC_RUN_ID", "")
        restart = os.environ.get("TORCHELASTIC_RESTART_COUNT", "")
        if run in ("", "none") or not restart:  # "none" is every run that was not given a name
            raise FailedPrecondition(
                "without collectives, without a process group and without attempt=, ranks cannot tell this run from an "
                "earlier one; give the writer attempt=, a number that grows with each restart, or initialize "
                "torch.distributed"
            )
        return ".".join(filter(None, (job, run, restart)))

    def tell(self, path: str, attempt: int) -> None:
        """Rank 0: the attempt of this save of ``path``."""
        self._store().set(self._key(path), str(attempt))

    def ask(self, path: str, timeout: float) -> int:
        """The other ranks: what rank 0 told. Raises DeadlineExceeded after ``timeout`` seconds."""
        store = self._store()
        key = self._key(path)
        deadline = time.monotonic() + timeout
        pause = _POLL_MIN
        # Not get(), which waits with the store's connection in hand: other threads of this process use it too.
        while not store.check([key]):
            if time.monotonic() >= deadline:
                raise DeadlineExceeded(f"rank 0 has not begun to save {path} within {timeout:g} s")
            time.sleep(pause)
            pause = min(2 * pause, _POLL_MAX)
        return int(store.get(key))

    def _group(self) -> dist.ProcessGroup | None:
        if self._process_group is not None:
            return self._process_group
        if dist.is_available() and dist.is_initialized():
            return distributed_c10d._get_default_group()
        return None

    def _store(self) -> dist.Store:
        group = self._group()
        assert group is not None, "has_store() was asked"
        return distributed_c10d._world.pg_map[group][1]

    def _key(self, path: str) -> str:
        group = self._group()
        assert group is not None
        with _saves_lock:
            of_group = _saves.setdefault(group, {})
            number = of_group[path] = of_group.get(path, 0) + 1
        return f"cairn/{number}/{path}"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_process_group": None}


def _renew_locks() -> None:
    # A thread that does not exist in this process may have held it.
    global _saves_lock
    _saves_lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)
