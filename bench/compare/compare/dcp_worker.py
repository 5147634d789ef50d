"""One rank of the PyTorch side: saves and loads one sharded state with torch.distributed.checkpoint.

Started four times by dcp.py with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set. Takes commands on stdin and
answers each with one line of JSON: `save BACKEND PLACE`, `load BACKEND PLACE`, with BACKEND filesystem or cairn.
The time is that of the slowest rank, from a barrier to a barrier.
"""

import json
import os
import sys
import time
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard

# As large as the weight matrices of a model of a few billion parameters, cut over the ranks.
TENSOR_BYTES = 16 * 1024 * 1024


class Worker:
    """Holds the state of one rank and the checksums of what was saved."""

    def __init__(self, mib):
        dist.init_process_group("gloo")
        torch.set_num_threads(1)  # several ranks share few cores, as launchers set it
        self.mesh = init_device_mesh("cpu", (dist.get_world_size(),))
        generator = torch.Generator().manual_seed(dist.get_rank())
        count = max(1, mib * 1024 * 1024 // TENSOR_BYTES)
        self.locals = [torch.randn(TENSOR_BYTES // 4 // 1024, 1024, generator=generator)
                       for _ in range(count)]
        self.sums = [self._checksum(tensor) for tensor in self.locals]

    @staticmethod
    def _checksum(tensor):
        return int(tensor.view(torch.int32).sum(dtype=torch.int64))

    def state(self):
        return {"model": {f"layer{i}.weight": DTensor.from_local(local, self.mesh, [Shard(0)])
                          for i, local in enumerate(self.locals)}}

    def writer(self, backend, place):
        if backend == "filesystem":
            return dcp.FileSystemWriter(place, sync_files=True)
        from cairn.torch import CairnStorageWriter
        return CairnStorageWriter(place)

    def reader(self, backend, place):
        if backend == "filesystem":
            return dcp.FileSystemReader(place)
        from cairn.torch import CairnStorageReader
        return CairnStorageReader(place)

    def save(self, backend, place):
        dist.barrier()
        start = time.monotonic()
        dcp.save(self.state(), storage_writer=self.writer(backend, place))
        dist.barrier()
        return time.monotonic() - start

    def load(self, backend, place):
        for local in self.locals:
            local.fill_(float("nan"))
        dist.barrier()
        start = time.monotonic()
        dcp.load(self.state(), storage_reader=self.reader(backend, place))
        dist.barrier()
        seconds = time.monotonic() - start
        if [self._checksum(local) for local in self.locals] != self.sums:
            raise RuntimeError("what was loaded differs from what was saved")
        return seconds

    def run(self, line):
        command, backend, place = line.split(" ", 2)
        seconds = getattr(self, command)(backend, place)
        local_bytes = len(self.locals) * TENSOR_BYTES
        return {"ok": True, "seconds": seconds, "bytes": local_bytes * dist.get_world_size()}


def main():
    warnings.filterwarnings("ignore")
    worker = Worker(int(sys.argv[1]))
    print(json.dumps({"ok": True, "pid": os.getpid()}), flush=True)
    for line in sys.stdin:
        try:
            report = worker.run(line.strip())
        except Exception as error:  # the driver prints it; the other ranks fail with the barrier
            report = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
