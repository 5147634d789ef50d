"""Which attempt a save of cairn.torch joins, and that none stays behind. Ranks are threads of this process here."""

import gc
import threading

import cairn
import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from cairn.checkpoint import CheckpointWriter
from cairn.torch import CairnStorageReader, CairnStorageWriter
from cairn.torch.meeting import Meeting
from cairn_harness import wait_until
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def use_endpoint(endpoint):
    """Writers and readers find the cluster by the environment."""


@pytest.fixture
def store(monkeypatch):
    """A store that the ranks of this process share, as ranks of a process group do."""
    store = dist.HashStore()
    monkeypatch.setattr(Meeting, "has_store", lambda self: True)
    monkeypatch.setattr(Meeting, "_store", lambda self: store)
    monkeypatch.setattr(Meeting, "_key", lambda self, path: path)
    return store


def save_alone(path, rank, value, **options):
    writer = CairnStorageWriter(path, rank=rank, commit_timeout=60.0, **{"world_size": 2, **options})
    dcp.save({"mine": torch.full((1000,), value)}, storage_writer=writer, use_collectives=False)


def load_alone(path, rank):
    class OfRank(CairnStorageReader):
        def read_metadata(self, *args, **kwargs):
            return super().read_metadata(rank=rank)

    state = {"mine": torch.zeros(1000)}
    dcp.load(state, storage_reader=OfRank(path))
    return state["mine"][0].item()


def writing(client, path):
    listed = client.list_checkpoints(path.rpartition("/")[0], include_writing=True)
    return [info for info in listed if info.path == path and not info.committed]


def in_thread(work, *arguments, **options):
    """Starts `work`; the function returned waits for it and raises what it raised."""
    errors = []

    def run():
        try:
            work(*arguments, **options)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()

    def result():
        thread.join()
        if errors:
            raise errors[0]

    return result


# ---- without collectives


def test_a_rank_of_a_killed_run_does_not_get_into_the_next(client, bucket, store):
    path = f"{bucket}/step-1"
    # What a run leaves whose rank 1 was done when it was killed, before rank 0 had begun.
    stale = client.begin_checkpoint(path, world_size=2, rank=1)
    for name in ("__1_0.safetensors", "__1.metadata"):
        with stale.shard(name) as shard:
            shard.write(b"of the run before")
    stale.rank_done()
    first = in_thread(save_alone, path, 0, 5.0)

    def rank_0_is_done():
        # Two ranks done are rank 0 and the stale one.
        return any(info.ranks_done >= 1 and info.attempt > stale.attempt for info in writing(client, path))

    wait_until(rank_0_is_done, "rank 0 waits for rank 1 in an attempt of its own")
    save_alone(path, 1, 6.0)
    first()
    assert [load_alone(path, rank) for rank in (0, 1)] == [5.0, 6.0]
    with pytest.raises(cairn.Aborted):
        stale.commit()


def test_without_a_store_ranks_meet_by_their_run(client, bucket, monkeypatch):
    path = f"{bucket}/step-1"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run7")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "2")
    first = in_thread(save_alone, path, 0, 5.0)
    save_alone(path, 1, 6.0)
    first()
    assert client.show_checkpoint(path).job == "run7.2"
    # The same job, restarted while an attempt of the run before is open.
    open_attempt = client.begin_checkpoint(path, world_size=2, rank=1, job="run7.2")
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "3")
    with pytest.raises(cairn.FailedPrecondition, match="another job"):
        save_alone(path, 0, 7.0)
    open_attempt.abort("end of the test")


@pytest.mark.parametrize("run", [None, "none"])
def test_ranks_that_cannot_tell_their_run_are_refused(client, bucket, monkeypatch, run):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    if run:
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", run)
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "0")
    with pytest.raises(cairn.FailedPrecondition, match="attempt="):
        save_alone(f"{bucket}/step-1", 0, 1.0)
    assert writing(client, f"{bucket}/step-1") == []
    first = in_thread(save_alone, f"{bucket}/step-1", 0, 5.0, attempt=3)
    save_alone(f"{bucket}/step-1", 1, 6.0, attempt=3)
    first()
    assert client.show_checkpoint(f"{bucket}/step-1").attempt == 3


def test_a_save_of_another_group_than_the_writer_s_is_refused(bucket, monkeypatch):
    group = object()
    monkeypatch.setattr(Meeting, "_group", lambda self: group)
    monkeypatch.setattr(dist, "get_rank", lambda of: 3)
    with pytest.raises(cairn.FailedPrecondition, match="process_group="):
        dcp.save({}, storage_writer=CairnStorageWriter(f"{bucket}/step-1"), use_collectives=False)


# ---- what stays behind


class _FailsWithoutWriting(DefaultSavePlanner):
    """As a save does when another rank fails: this rank's writer is not called again."""

    def finish_plan(self, plan):
        raise RuntimeError("planted")


@pytest.mark.parametrize("end", ["reset", "close", "drop"])
def test_a_save_that_fails_elsewhere_leaves_no_attempt(client, bucket, end):
    path = f"{bucket}/step-1"
    writer = CairnStorageWriter(path)
    with pytest.raises(CheckpointException, match="planted"):
        dcp.save({"a": torch.ones(3)}, storage_writer=writer, planner=_FailsWithoutWriting())
    assert len(writing(client, path)) == 1
    if end == "reset":
        writer.reset(path)
    elif end == "close":
        writer.close()
    else:
        del writer
        gc.collect()
    wait_until(lambda: writing(client, path) == [], "the attempt is aborted")


def test_an_attempt_that_nobody_finishes_is_not_kept_for_ever(client, bucket, monkeypatch):
    from cairn.torch import writer as module

    monkeypatch.setattr(module, "_FORSAKEN_AFTER", 0.05)
    writer = CairnStorageWriter(f"{bucket}/step-1")
    with pytest.raises(CheckpointException, match="planted"):
        dcp.save({"a": torch.ones(3)}, storage_writer=writer, planner=_FailsWithoutWriting())
    wait_until(lambda: writing(client, f"{bucket}/step-1") == [], "the attempt is aborted")


def test_a_commit_whose_answer_is_lost_is_a_success(client, bucket, monkeypatch):
    commit = CheckpointWriter.commit

    def lose_the_answer(self, timeout=600.0):
        commit(self, timeout)
        raise cairn.Unavailable("planted")

    monkeypatch.setattr(CheckpointWriter, "commit", lose_the_answer)
    dcp.save({"a": torch.ones(3)}, storage_writer=CairnStorageWriter(f"{bucket}/step-1"))
    assert client.show_checkpoint(f"{bucket}/step-1").committed

    def fail(self, timeout=600.0):
        raise cairn.Unavailable("no")

    monkeypatch.setattr(CheckpointWriter, "commit", fail)
    with pytest.raises(CheckpointException, match="no"):
        dcp.save({"a": torch.zeros(3)}, storage_writer=CairnStorageWriter(f"{bucket}/step-1"))
    assert writing(client, f"{bucket}/step-1") == []
