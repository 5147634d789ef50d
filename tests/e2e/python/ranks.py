"""What the ranks of the multi-process tests do; spawned, so importable by name. Each returns normally or raises."""

import functools
import os
import sys
import traceback
import warnings

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp
from torch.distributed.checkpoint.api import CheckpointException


def run_ranks(world_size, work, directory, *arguments):
    """Runs `work(rank, world_size, *arguments)` in as many processes, joined by gloo."""
    store = os.path.join(str(directory), f"store-{os.urandom(4).hex()}")
    mp.spawn(_rank_main, (world_size, work, store, arguments), nprocs=world_size)


def _rank_main(rank, world_size, work, store, arguments):
    warnings.simplefilter("ignore")
    os.environ.update(LOCAL_RANK=str(rank), RANK=str(rank), WORLD_SIZE=str(world_size), MASTER_ADDR="127.0.0.1")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    try:
        work(rank, world_size, *arguments)
        dist.barrier()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)  # the others may be in a collective that will never end
    finally:
        dist.destroy_process_group()


def full(name, shape):
    """The whole tensor of that name, the same in every process."""
    seed = int.from_bytes(name.encode(), "little") % (1 << 31)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


SHAPES = {"rows": (37, 513), "columns": (64, 96), "large": (4000, 256), "one": (1, 5), "thin": (3,)}


def sharded_state(world_size, blank=False):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (world_size,))
    placements = {name: [Shard(0)] for name in SHAPES}
    placements["columns"] = [Shard(1)]
    placements["copied"] = [Replicate()]
    state = {}
    for name, placement in placements.items():
        tensor = full(name, SHAPES.get(name, (50, 50)))
        state[name] = distribute_tensor(torch.zeros_like(tensor) if blank else tensor, mesh, placement)
    state["plain"] = torch.zeros(11) if blank else torch.arange(11.0)
    state["step"] = 0 if blank else 12
    return state


def check(state):
    for name, value in state.items():
        if hasattr(value, "full_tensor"):
            assert torch.equal(value.full_tensor(), full(name, value.shape)), name
    assert torch.equal(state["plain"], torch.arange(11.0)) and state["step"] == 12


def save_sharded(rank, world_size, path):
    from cairn.torch import CairnStorageWriter

    dcp.save(sharded_state(world_size), storage_writer=CairnStorageWriter(path))


def load_sharded(rank, world_size, path):
    from cairn.torch import CairnStorageReader

    state = sharded_state(world_size, blank=True)
    dcp.load(state, storage_reader=CairnStorageReader(path))
    check(state)


def save_and_load(rank, world_size, path):
    save_sharded(rank, world_size, path)
    load_sharded(rank, world_size, path)


def save_async(rank, world_size, path, kind):
    from cairn.torch import CairnStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

    writer = CairnStorageWriter()
    for step in (1, 2, 3):
        state = sharded_state(world_size)
        future = dcp.async_save(
            state,
            storage_writer=writer,
            checkpoint_id=f"{path}-{step}",
            async_checkpointer_type=AsyncCheckpointerType[kind],
        )
        state["large"].to_local().zero_()  # training goes on
        state["plain"].zero_()
        future.result()
        dist.barrier()
        load_sharded(rank, world_size, f"{path}-{step}")


def save_without_collectives(rank, world_size, path):
    from cairn.torch import CairnStorageReader, CairnStorageWriter

    state = {"mine": torch.full((1000,), float(rank)), "rank": rank}
    for _ in range(2):
        dcp.save(state, storage_writer=CairnStorageWriter(path), use_collectives=False)
    got = {"mine": torch.zeros(1000), "rank": -1}
    dcp.load(got, storage_reader=CairnStorageReader(path))
    assert torch.equal(got["mine"], state["mine"]) and got["rank"] == rank


def fail_on_one_rank(rank, world_size, path):
    from cairn.torch import CairnStorageWriter

    class Failing(dcp.DefaultSavePlanner):
        def resolve_data(self, item):
            if rank == 1:
                raise RuntimeError("planted")
            return super().resolve_data(item)

    try:
        dcp.save(sharded_state(world_size), storage_writer=CairnStorageWriter(path), planner=Failing())
    except CheckpointException as error:
        assert "planted" in str(error)
    else:
        raise AssertionError("the save of a failing rank succeeded")


def save_with_cached_plans(rank, world_size, path):
    from cairn.torch import CairnStorageWriter

    for step in (1, 2, 3):
        planner = dcp.DefaultSavePlanner(enable_plan_caching=True)
        dcp.save(
            sharded_state(world_size), storage_writer=CairnStorageWriter(f"{path}-{step}"), planner=planner
        )
        load_sharded(rank, world_size, f"{path}-{step}")


def train_fsdp(rank, world_size, path, steps_before):
    """Two steps, a save, two more; and a load of that save gives the same two more."""
    from cairn.torch import CairnStorageReader, CairnStorageWriter
    from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    def build():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))
        for layer in model:
            fully_shard(layer, mesh=init_device_mesh("cpu", (world_size,)))
        return model, torch.optim.Adam(model.parameters(), lr=0.01)

    def steps(model, optimizer, count, first):
        for step in range(first, first + count):
            torch.manual_seed(step)
            loss = model(torch.randn(8, 64)).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    model, optimizer = build()
    steps(model, optimizer, 2, 0)
    weights, moments = get_state_dict(model, optimizer)
    if steps_before:
        dcp.save({"model": weights, "optimizer": moments}, storage_writer=CairnStorageWriter(path))
    expected = steps(model, optimizer, 2, 2)
    model, optimizer = build()
    weights, moments = get_state_dict(model, optimizer)
    state = {"model": weights, "optimizer": moments}
    dcp.load(state, storage_reader=CairnStorageReader(path))
    set_state_dict(model, optimizer, model_state_dict=state["model"], optim_state_dict=state["optimizer"])
    got = steps(model, optimizer, 2, 2)
    if steps_before:
        assert got == expected, (got, expected)


def save_by_url(rank, world_size, path):
    dcp.save(sharded_state(world_size), checkpoint_id=f"cairn://{path}")
    state = sharded_state(world_size, blank=True)
    dcp.load(state, checkpoint_id=f"cairn://{path}")
    check(state)


def hang_in_a_save(rank, world_size, path, ready):
    """Begins a save and stops in the middle of it, for the test to kill."""
    from cairn.torch import CairnStorageWriter, writer

    original = writer.write_layout

    def write_and_wait(shard, layout, staging_bytes):
        original(shard, layout, staging_bytes)
        with open(f"{ready}-{rank}", "w"):
            pass
        import threading

        threading.Event().wait()

    writer.write_layout = functools.wraps(original)(write_and_wait)
    dcp.save(sharded_state(world_size), storage_writer=CairnStorageWriter(path))


# Wide rows, so that half of one is far from the next: 8 MiB, cut over four ranks into shards with aligned data.
WIDE = (32, 65536)


def wide_state(world_size, dim, blank=False):
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    tensor = torch.zeros(WIDE) if blank else full("wide", WIDE)
    return {"wide": distribute_tensor(tensor, init_device_mesh("cpu", (world_size,)), [Shard(dim)])}


def save_wide(rank, world_size, path, dim):
    from cairn.torch import CairnStorageWriter

    dcp.save(wide_state(world_size, dim), storage_writer=CairnStorageWriter(path))


def load_wide(rank, world_size, path, dim):
    from cairn.torch import CairnStorageReader

    state = wide_state(world_size, dim, blank=True)
    dcp.load(state, storage_reader=CairnStorageReader(path))
    assert torch.equal(state["wide"].full_tensor(), full("wide", WIDE))
