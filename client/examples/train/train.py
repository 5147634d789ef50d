"""Trains a small language model with FSDP2 and keeps its checkpoints in Cairn.

    torchrun --nproc-per-node 4 train.py --checkpoints demo/lm --steps 60 --save-every 10

Start it again after any crash, with the same command: it finds the newest committed checkpoint of the run
and goes on from there, bit for bit, also on another number of ranks. CAIRN_ENDPOINT names the cluster.

The lines that concern Cairn are in `Checkpoints`; all else is an ordinary PyTorch job. The model is in
model.py, the data in text.py.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from model import Gpt, ModelSize
from text import Batches, load
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from cairn.torch import CairnStorageReader, CairnStorageWriter, latest


class TrainState(Stateful):
    """Everything that a step depends on: weights, optimizer, step, position in the data, random state."""

    def __init__(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, batches: Batches) -> None:
        self.model, self.optimizer, self.batches = model, optimizer, batches
        self.step = 0
        self.restore_random_state = True

    def state_dict(self) -> dict[str, Any]:
        """The state as DCP takes it; tensors are this rank's shards, not copies."""
        model, optimizer = get_state_dict(self.model, self.optimizer)
        state = {"model": model, "optimizer": optimizer, "step": self.step, "data": self.batches.state}
        if self.restore_random_state:
            state[_random_key(dist.get_rank())] = torch.get_rng_state()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts a state back."""
        set_state_dict(
            self.model,
            self.optimizer,
            model_state_dict=state["model"],
            optim_state_dict=state["optimizer"],
        )
        self.step = state["step"]
        self.batches.state = state["data"]
        if self.restore_random_state:
            torch.set_rng_state(state[_random_key(dist.get_rank())])


class Checkpoints:
    """A run's checkpoints in Cairn: saved in the background, one at a time."""

    def __init__(self, run: str, log: Callable[..., None]) -> None:
        self.run, self.log = run, log
        self.writer = CairnStorageWriter()
        # The background save talks between ranks while the training does: it needs a group of its own.
        self.group = dist.new_group(backend="gloo")
        self.pending: Future | None = None

    def resume(self, state: TrainState) -> bool:
        """Loads the newest committed checkpoint of the run into `state`; False when there is none."""
        found = [latest(self.run) if dist.get_rank() == 0 else None]
        dist.broadcast_object_list(found, src=0)  # all ranks resume from the same one
        if found[0] is None:
            return False
        begun = time.perf_counter()
        reader = CairnStorageReader(found[0])
        # A rank that the saving job did not have keeps the random state it was seeded with.
        saved = reader.read_metadata().state_dict_metadata
        state.restore_random_state = f"train.{_random_key(dist.get_rank())}" in saved
        dcp.load({"train": state}, storage_reader=reader)
        state.restore_random_state = True
        dist.barrier()
        seconds = time.perf_counter() - begun
        self.log("resume", step=state.step, path=found[0], seconds=seconds)
        return True

    def save(self, state: TrainState) -> None:
        """Starts a save of `state` and returns as soon as its tensors are copied aside."""
        begun = time.perf_counter()
        self.wait()
        path, step = f"{self.run}/step-{state.step:06d}", state.step
        waited = time.perf_counter()
        future = dcp.async_save(
            {"train": state},
            checkpoint_id=path,
            storage_writer=self.writer,
            process_group=self.group,
        )
        stalled = time.perf_counter() - begun
        self.log("save begun", step=step, stall_s=stalled, waited_s=waited - begun)
        future.add_done_callback(
            lambda f: self.log(
                "save", step=step, path=path, seconds=time.perf_counter() - waited, failed=str(f.exception() or "")
            )
        )
        self.pending = future

    def wait(self) -> None:
        """Waits for the save under way to be committed, and raises what it raised."""
        if self.pending is not None:
            self.pending.result()
            self.pending = None


def _random_key(rank: int) -> str:
    return f"random-{rank}"


def _logger(path: Path | None) -> Callable[..., None]:
    """Events as JSON lines, from rank 0; floats of losses in hex, to compare runs bit for bit."""
    stream = path.open("a", buffering=1) if path and dist.get_rank() == 0 else None

    def log(event: str, **fields: Any) -> None:
        if stream:
            stream.write(json.dumps({"event": event, "time": time.time(), **fields}) + "\n")

    return log


def _mean(value: torch.Tensor) -> float:
    value = value.detach().clone()
    dist.all_reduce(value)
    return (value / dist.get_world_size()).item()


@torch.no_grad()
def _evaluate(model: torch.nn.Module, batches: Batches) -> float:
    model.eval()
    loss = _mean(model(*batches.evaluation(dist.get_rank(), dist.get_world_size())))
    model.train()
    return loss


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", default="demo/lm", help="directory in Cairn, BUCKET/NAME (default %(default)s)")
    parser.add_argument("--steps", type=int, default=60, help="steps in all (default %(default)s)")
    parser.add_argument("--save-every", type=int, default=10, metavar="N", help="default %(default)s")
    parser.add_argument("--layers", type=int, default=6, help="default %(default)s: 11 M parameters")
    parser.add_argument("--rows", type=int, default=8, help="of the global batch (default %(default)s)")
    parser.add_argument("--events", type=Path, metavar="FILE", help="append events here, as JSON lines")
    return parser.parse_args()


def _build(arguments: argparse.Namespace) -> TrainState:
    # Equal weights on every rank first, then a random stream of each rank's own, for the dropout.
    torch.manual_seed(1)
    size = ModelSize(layers=arguments.layers)
    model = Gpt(size)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    torch.manual_seed(1000 + dist.get_rank())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    return TrainState(model, optimizer, Batches(load(), arguments.rows, size.context, seed=7))


def main() -> None:
    arguments = _arguments()
    # One thread and deterministic kernels: what makes two runs comparable to the last bit.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    dist.init_process_group("gloo")
    rank, ranks = dist.get_rank(), dist.get_world_size()
    log = _logger(arguments.events)
    state = _build(arguments)
    checkpoints = Checkpoints(arguments.checkpoints, log)
    resumed = checkpoints.resume(state)
    if rank == 0:
        parameters = sum(p.numel() for p in state.model.parameters())
        print(f"{parameters / 1e6:.1f} M parameters on {ranks} ranks; ", end="")
        print(f"resuming at step {state.step}" if resumed else "starting afresh", flush=True)
    if resumed:
        log("evaluation", step=state.step, loss=_evaluate(state.model, state.batches))

    while state.step < arguments.steps:
        inputs, targets = state.batches.next(rank, ranks)
        loss = state.model(inputs, targets)
        loss.backward()
        state.optimizer.step()
        state.optimizer.zero_grad()
        state.step += 1
        mean = _mean(loss)
        log("step", step=state.step, loss=mean, loss_hex=mean.hex())
        if state.step % arguments.save_every == 0 or state.step == arguments.steps:
            log("evaluation", step=state.step, loss=_evaluate(state.model, state.batches))
            checkpoints.save(state)
            if rank == 0:
                print(f"step {state.step}: loss {mean:.4f}", flush=True)
    checkpoints.wait()
    log("end", step=state.step)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
