"""cairn.torch with several ranks over gloo: sharded state, resharding, both async executors, ranks that fail or die."""

import os
import signal
import time

import ranks
import pytest
import torch.multiprocessing as mp
from ranks import run_ranks


@pytest.fixture(autouse=True)
def use_endpoint(endpoint, monkeypatch):
    # Spawned ranks import `ranks` and find the cluster by the environment.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")]))


def test_sharded_state_is_loaded_onto_other_numbers_of_ranks(bucket, client, tmp_path):
    path = f"{bucket}/run/step-12"
    run_ranks(4, ranks.save_and_load, tmp_path, path)
    info = client.show_checkpoint(path)
    assert info.world_size == 4 and info.step == 12
    assert [s.name for s in info.shards] == [".metadata", *(f"__{rank}_0.safetensors" for rank in range(4))]
    run_ranks(2, ranks.load_sharded, tmp_path, path)
    run_ranks(3, ranks.save_and_load, tmp_path, f"{bucket}/run/step-13")
    run_ranks(2, ranks.load_sharded, tmp_path, f"{bucket}/run/step-13")


@pytest.mark.parametrize("kind", ["THREAD", "PROCESS"])
def test_async_saves(bucket, client, tmp_path, kind):
    run_ranks(2, ranks.save_async, tmp_path, f"{bucket}/step", kind)
    assert [c.step for c in client.list_checkpoints(bucket, include_writing=True)] == [1, 2, 3]


def test_saves_without_collectives(bucket, client, tmp_path):
    run_ranks(3, ranks.save_without_collectives, tmp_path, f"{bucket}/step-1")
    names = [shard.name for shard in client.show_checkpoint(f"{bucket}/step-1").shards]
    assert names == sorted(f"__{r}{end}" for r in range(3) for end in (".metadata", "_0.safetensors"))


def test_a_failing_rank_fails_the_save_and_leaves_nothing(bucket, client, tmp_path):
    run_ranks(2, ranks.fail_on_one_rank, tmp_path, f"{bucket}/step-1")
    assert client.list_checkpoints(bucket, include_writing=True) == []


def test_cached_plans_do_not_bring_back_old_attempts(bucket, tmp_path):
    run_ranks(2, ranks.save_with_cached_plans, tmp_path, f"{bucket}/step")


def test_fsdp_training_resumes_bit_for_bit_and_on_fewer_ranks(bucket, tmp_path):
    run_ranks(2, ranks.train_fsdp, tmp_path, f"{bucket}/step-2", True)
    run_ranks(3, ranks.train_fsdp, tmp_path, f"{bucket}/step-2", False)


def test_ranks_save_by_url_alone(bucket, tmp_path):
    run_ranks(2, ranks.save_by_url, tmp_path, f"{bucket}/step-1")


def test_ranks_killed_in_a_save_leave_the_older_checkpoint_whole(bucket, client, tmp_path):
    path = f"{bucket}/step-1"
    run_ranks(2, ranks.save_and_load, tmp_path, path)
    before = client.show_checkpoint(path)
    ready = str(tmp_path / "ready")
    store = str(tmp_path / "store-killed")
    context = mp.get_context("spawn")
    processes = [
        context.Process(target=ranks._rank_main, args=(rank, 2, ranks.hang_in_a_save, store, (path, ready)))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    deadline = time.monotonic() + 120
    while not all(os.path.exists(f"{ready}-{rank}") for rank in range(2)):
        assert time.monotonic() < deadline and all(process.is_alive() for process in processes)
        time.sleep(0.05)  # the interval of asking, not a guess at how long it takes
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
    assert client.show_checkpoint(path) == before
    run_ranks(2, ranks.load_sharded, tmp_path, path)
    # The dead attempt does not stand in the way of the next.
    run_ranks(2, ranks.save_and_load, tmp_path, path)
    assert client.show_checkpoint(path).attempt > before.attempt + 1
