"""Cairn, a parallel checkpoint store for training clusters.

    import cairn

    client = cairn.Client("host:7440")
    with client.begin_checkpoint("models/run-1/step-100", world_size=1) as checkpoint:
        with checkpoint.shard("rank0.bin") as shard:
            shard.write(tensor_or_array_or_bytes)
        checkpoint.rank_done()
        checkpoint.commit()
    print(client.latest_checkpoint("models/run-1"))

``cairn.torch`` saves and loads with torch.distributed.checkpoint, and ``cairn://bucket/path`` works wherever fsspec
does. Units: bytes and seconds, throughout. Errors: see :mod:`cairn.errors`.
"""

from cairn.checkpoint import CheckpointWriter
from cairn.client import Client
from cairn.errors import (
    Aborted,
    AlreadyExists,
    CairnError,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    OutOfRange,
    ResourceExhausted,
    Unavailable,
)
from cairn.io import File, ShardWriter
from cairn.types import CheckpointInfo, Entry, RetentionPolicy, ShardInfo

__version__ = "0.1.0"

__all__ = [
    "Aborted",
    "AlreadyExists",
    "CairnError",
    "CheckpointInfo",
    "CheckpointWriter",
    "Client",
    "DataLoss",
    "DeadlineExceeded",
    "Entry",
    "FailedPrecondition",
    "File",
    "InvalidArgument",
    "NotFound",
    "OutOfRange",
    "ResourceExhausted",
    "RetentionPolicy",
    "ShardInfo",
    "ShardWriter",
    "Unavailable",
]
