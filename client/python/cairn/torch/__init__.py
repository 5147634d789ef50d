"""torch.distributed.checkpoint on Cairn.

    import torch.distributed.checkpoint as dcp
    from cairn.torch import CairnStorageReader, CairnStorageWriter

    dcp.save(state_dict, storage_writer=CairnStorageWriter("bucket/run/step-10"))
    dcp.load(state_dict, storage_reader=CairnStorageReader("bucket/run/step-10"))

``save``, ``async_save`` and ``load`` here are the same in one call, and :func:`latest` finds the newest checkpoint.
"""

from __future__ import annotations

from typing import Any

import torch.distributed.checkpoint as _dcp
from cairn.client import Client
from cairn.errors import NotFound
from cairn.torch.clients import checkpoint_path, shared_client
from cairn.torch.reader import CairnStorageReader
from cairn.torch.staging import HostStager, release_staging
from cairn.torch.writer import CairnStorageWriter

__all__ = [
    "CairnStorageReader",
    "CairnStorageWriter",
    "HostStager",
    "async_save",
    "latest",
    "load",
    "release_staging",
    "save",
]


def save(state_dict: dict[str, Any], path: str, *, endpoint: str | None = None, **options: Any) -> Any:
    """``dcp.save`` through a :class:`CairnStorageWriter` of ``path``. Durable and visible when it returns.

    ``options`` are those of ``dcp.save`` (``planner``, ``process_group``, ...).
    """
    return _dcp.save(state_dict, storage_writer=CairnStorageWriter(path, endpoint=endpoint), **options)


def async_save(state_dict: dict[str, Any], path: str, *, endpoint: str | None = None, **options: Any) -> Any:
    """``dcp.async_save`` through a :class:`CairnStorageWriter` of ``path``: returns when ``state_dict`` is copied to
    host memory. Durable and visible when the future it returns is done."""
    return _dcp.async_save(state_dict, storage_writer=CairnStorageWriter(path, endpoint=endpoint), **options)


def load(state_dict: dict[str, Any], path: str, *, endpoint: str | None = None, **options: Any) -> None:
    """``dcp.load`` through a :class:`CairnStorageReader` of ``path``, in place."""
    _dcp.load(state_dict, storage_reader=CairnStorageReader(path, endpoint=endpoint), **options)


def latest(directory: str, *, client: Client | None = None, endpoint: str | None = None) -> str | None:
    """The path of the newest committed checkpoint directly in ``directory``; None when there is none."""
    found = client if client is not None else shared_client(endpoint)
    try:
        return found.latest_checkpoint(checkpoint_path(directory)).path
    except NotFound:
        return None
