"""Points torch.distributed.checkpoint at Cairn, in every process that has this folder in its PYTHONPATH.

FileSystemWriter and FileSystemReader become Cairn's, and fsspec's local paths become cairn:// URLs, before any test
can import them; ranks that a test spawns come through here too. A local path /tmp/x means CAIRN_DCP_BUCKET/tmp/x.
"""

import importlib.abc
import importlib.machinery
import os
import sys

_PACKAGE = "torch.distributed.checkpoint"


def place(path):
    """Where a test's local path is in the store."""
    text = os.fspath(path)
    if "://" in text:
        return text
    return os.environ["CAIRN_DCP_BUCKET"] + os.path.abspath(text)


def patch(checkpoint):
    import torch.distributed.checkpoint._storage_utils as storage_utils
    from cairn.torch import CairnStorageReader, CairnStorageWriter
    from torch.distributed.checkpoint import _fsspec_filesystem, filesystem

    class FileSystemWriter(CairnStorageWriter):
        """With the file system writer's arguments. Those about files, threads and syncing have no meaning here."""

        def __init__(self, path, *args, overwrite=True, _extensions=None, **options):
            if _extensions:
                import unittest

                raise unittest.SkipTest("stream extensions belong to the file system writer's format")
            super().__init__(place(path), overwrite=overwrite)
            self._given = path

        def reset(self, checkpoint_id=None):
            super().reset(checkpoint_id and place(checkpoint_id))
            self._given = checkpoint_id or self._given

        @property
        def checkpoint_id(self):
            return self._given

        @classmethod
        def validate_checkpoint_id(cls, checkpoint_id):
            return "://" not in os.fspath(checkpoint_id)

    class FileSystemReader(CairnStorageReader):
        def __init__(self, path, _extension_registry=None):
            super().__init__(place(path))

        def reset(self, checkpoint_id=None):
            super().reset(checkpoint_id and place(checkpoint_id))

        @classmethod
        def validate_checkpoint_id(cls, checkpoint_id):
            return "://" not in os.fspath(checkpoint_id)

    for kind in (FileSystemWriter, FileSystemReader):
        # Writers are pickled for the process executor.
        kind.__module__, kind.__qualname__ = __name__, kind.__name__
        globals()[kind.__name__] = kind
        for module in (checkpoint, filesystem, storage_utils):
            setattr(module, kind.__name__, kind)

    fsspec_file_system = _fsspec_filesystem.FileSystem
    init_path = fsspec_file_system.init_path

    def init_on_cairn(self, path, **options):
        path = place(path)
        return init_path(self, path if "://" in path else f"cairn://{path}", **options)

    fsspec_file_system.init_path = init_on_cairn


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != _PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            patch(module)

        spec.loader.exec_module = exec_module
        return spec


sys.meta_path.insert(0, _Finder())
