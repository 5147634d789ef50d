"""One connection a process and cluster.

Writers and readers are often made anew for each checkpoint, and a pickled one arrives in another process with each
save: they share their process's client instead of connecting each time.
"""

from __future__ import annotations

import os
import threading

from cairn.client import Client

__all__ = ["checkpoint_path", "is_checkpoint_id", "shared_client"]

_SCHEME = "cairn://"

_lock = threading.Lock()
# As many as there are clusters in use: one, as a rule.
_shared: dict[tuple[str, float, int], Client] = {}


def shared_client(endpoint: str | None = None, timeout: float = 60.0, window: int = 8) -> Client:
    """The process's client of a cluster. None: ``CAIRN_ENDPOINT``, else ``127.0.0.1:7440``."""
    client = Client(endpoint, timeout=timeout, window=window)
    key = (client.endpoint, timeout, window)
    with _lock:
        return _shared.setdefault(key, client)


def _new_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock)


def checkpoint_path(checkpoint_id: str | os.PathLike[str]) -> str:
    """``cairn://bucket/run/step-10`` or ``bucket/run/step-10`` → the path."""
    path = os.fspath(checkpoint_id)
    return path.removeprefix(_SCHEME).strip("/")


def is_checkpoint_id(checkpoint_id: str | os.PathLike[str]) -> bool:
    """Whether it can name a checkpoint here: a ``cairn://`` URL, or a relative path of bucket and name."""
    path = os.fspath(checkpoint_id)
    if path.startswith(_SCHEME):
        path = path.removeprefix(_SCHEME)
    elif "://" in path or path.startswith("/"):
        return False
    parts = path.strip("/").split("/")
    return len(parts) >= 2 and all(part not in ("", ".", "..") for part in parts)
