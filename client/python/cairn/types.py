"""What is stored, as plain values. Sizes are bytes, times are Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["CheckpointInfo", "Entry", "RetentionPolicy", "ShardInfo"]


@dataclass(frozen=True)
class Entry:
    """A file, directory, checkpoint or symlink. ``name`` is the last component; from ``Client.stat``, the path."""

    name: str
    type: Literal["file", "directory", "checkpoint", "symlink", "special"]
    size_bytes: int
    modified: float
    mode: int
    inode: int
    crc32c: int  # of a file's whole content


@dataclass(frozen=True)
class ShardInfo:
    """One file of a checkpoint, written by one rank."""

    name: str
    size_bytes: int
    crc32c: int
    rank: int


@dataclass(frozen=True)
class CheckpointInfo:
    """A checkpoint: committed, or (``committed`` is False) being written."""

    path: str
    committed: bool
    step: int | None
    attempt: int
    world_size: int
    ranks_done: int
    shard_count: int
    size_bytes: int
    begun: float
    committed_at: float
    pinned: bool
    job: str
    attributes: dict[str, str]
    missing_ranks: list[int]  # the first 16 of one being written
    shards: list[ShardInfo] = field(default_factory=list)  # filled by Client.show_checkpoint alone


@dataclass(frozen=True)
class RetentionPolicy:
    """Rules of a directory of checkpoints; zero is "not a rule".

    What no rule keeps is removed after each commit. Pinned checkpoints and the newest are always kept; with no rule
    at all, everything is.
    """

    keep_last: int = 0
    keep_every_steps: int = 0
    keep_newer_than: float = 0.0  # seconds
