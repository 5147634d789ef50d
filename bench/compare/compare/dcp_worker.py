"""One rank of the PyTorch side: saves and loads one sharded state with torch.distributed.checkpoint.

Started four times by dcp.py with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set. Takes commands on stdin and
answers each with one line of JSON: `save BACKEND PLACE`, `load BACKEND PLACE`, with BACKEND filesystem or cairn, and
`stall cairn PLACE`. The time is that of the slowest rank, from a barrier to a barrier.
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


def memory_mib(field):
    """VmRSS or VmHWM of this process."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field + ":"))


class MemoryPeak:
    """How much memory a block takes beyond what was resident before it."""

    def __init__(self):
        self.mib = None  # where the kernel does not let a process forget its peak

    def __enter__(self):
        self._before = memory_mib("VmRSS")
        try:
            with open("/proc/self/clear_refs", "w", encoding="ascii") as control:
                control.write("5")
            self._cleared = memory_mib("VmHWM") < self._before + 8
        except OSError:
            self._cleared = False
        return self

    def __exit__(self, *_):
        if self._cleared:
            self.mib = memory_mib("VmHWM") - self._before


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
        self.sdk_mib = self._connect()
        self.async_writer = None

    @staticmethod
    def _connect():
        """What the SDK holds as long as it is connected: no save or load shows it as its own."""
        before = memory_mib("VmRSS")
        from cairn.torch.clients import shared_client
        shared_client().connect()
        return memory_mib("VmRSS") - before

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

    def stall(self, place):
        """How long async_save holds training up, and how long a plain copy of the same bytes into memory that has
        been used before takes: that of the staging itself, which is free again by then."""
        from cairn.torch import CairnStorageWriter, staging
        self.async_writer = self.async_writer or CairnStorageWriter()
        dist.barrier()
        start = time.monotonic()
        future = dcp.async_save(self.state(), checkpoint_id=f"cairn://{place}", storage_writer=self.async_writer)
        stall_seconds = time.monotonic() - start
        future.result()
        del future
        memory = staging._arenas[-1].bytes
        dist.barrier()
        start = time.monotonic()
        for index, local in enumerate(self.locals):
            target = memory[index * TENSOR_BYTES : (index + 1) * TENSOR_BYTES]
            target.view(local.dtype).view(local.shape).copy_(local)
        return stall_seconds, time.monotonic() - start

    def run(self, line):
        command, backend, place = line.split(" ", 2)
        if command == "stall":
            seconds, copy_seconds = self.stall(place)
            return {"ok": True, "seconds": seconds, "copy_seconds": copy_seconds}
        with MemoryPeak() as peak:
            seconds = getattr(self, command)(backend, place)
        local_bytes = len(self.locals) * TENSOR_BYTES
        return {"ok": True, "seconds": seconds, "bytes": local_bytes * dist.get_world_size(),
                "beyond_mib": None if peak.mib is None else peak.mib + self.sdk_mib}


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
