"""cairn.Client: files, checkpoints, memory used in place, processes, errors."""

import gc
import multiprocessing
import os
import pickle
import signal
import threading
import time

import cairn
import numpy as np
import pytest
import torch


def pattern(size, seed=1):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8)


# ---- files


def test_a_file_put_is_read_back_whole_and_in_ranges(client, bucket):
    data = pattern(9 << 20)
    client.put(f"{bucket}/file", data)
    assert client.get(f"{bucket}/file") == data.tobytes()
    with client.open(f"{bucket}/file") as file:
        assert file.size_bytes == len(file) == data.size
        assert file.read(5, 10) == data[5:15].tobytes()
        assert file.read(data.size - 3) == data[-3:].tobytes()
        assert file.read(7, 0) == b""
        first, second = bytearray(100), np.empty(1 << 20, np.uint8)
        file.read_ranges([(4 << 20, first), (3, second)])
        assert bytes(first) == data[4 << 20 : (4 << 20) + 100].tobytes()
        assert np.array_equal(second, data[3 : 3 + (1 << 20)])


def test_an_empty_file_exists_and_is_empty(client, bucket):
    client.put(f"{bucket}/empty", b"")
    assert client.stat(f"{bucket}/empty").size_bytes == 0
    assert client.get(f"{bucket}/empty") == b""


def test_reading_past_the_end_is_out_of_range(client, bucket):
    client.put(f"{bucket}/file", b"abc")
    with client.open(f"{bucket}/file") as file, pytest.raises(cairn.OutOfRange):
        file.read(1, 3)


def test_a_gather_list_becomes_one_file(client, bucket):
    pieces = [b"head", pattern(5 << 20), memoryview(b"x" * 17), torch.arange(1000, dtype=torch.bfloat16)]
    client.put(f"{bucket}/file", *pieces)
    expected = b"head" + pieces[1].tobytes() + b"x" * 17 + pieces[3].view(torch.uint8).numpy().tobytes()
    assert client.get(f"{bucket}/file") == expected


def test_a_streamed_file_appears_at_close(client, bucket):
    with client.create(f"{bucket}/file") as writer:
        writer.write(b"one ")
        writer.flush()
        writer.write(b"two")
        assert not client.exists(f"{bucket}/file")
        assert writer.size_bytes == 7
    assert client.get(f"{bucket}/file") == b"one two"


def test_a_block_that_raises_leaves_no_file(client, bucket):
    with pytest.raises(RuntimeError), client.create(f"{bucket}/file") as writer:
        writer.write(b"half")
        raise RuntimeError("stop")
    assert not client.exists(f"{bucket}/file")


def test_a_writer_dropped_unclosed_leaves_no_file(client, bucket):
    writer = client.create(f"{bucket}/file")
    writer.write(bytes(1 << 20))
    del writer
    gc.collect()
    assert not client.exists(f"{bucket}/file")


def test_closing_twice_is_refused(client, bucket):
    writer = client.create(f"{bucket}/file")
    writer.close()
    with pytest.raises(cairn.FailedPrecondition):
        writer.close()


def test_the_tree_can_be_listed_and_changed(client, bucket):
    client.make_directory(f"{bucket}/a/b")
    client.put(f"{bucket}/a/x", b"12")
    assert [(e.name, e.type) for e in client.list(f"{bucket}/a")] == [("b", "directory"), ("x", "file")]
    entry = client.stat(f"{bucket}/a/x")
    assert entry.size_bytes == 2 and abs(entry.modified - time.time()) < 300
    client.put(f"{bucket}/a/y", b"old")
    client.rename(f"{bucket}/a/x", f"{bucket}/a/y")
    assert client.get(f"{bucket}/a/y") == b"12" and not client.exists(f"{bucket}/a/x")
    assert bucket in [e.name for e in client.list()]
    client.remove(f"{bucket}/a", recursive=True)
    assert client.list(bucket) == []


def test_an_overwritten_file_stays_readable_while_open(client, bucket):
    client.put(f"{bucket}/file", b"old")
    with client.open(f"{bucket}/file") as file:
        client.put(f"{bucket}/file", b"newer")
        assert file.read() == b"old"
    assert client.get(f"{bucket}/file") == b"newer"


# ---- memory


def test_memory_is_referenced_until_the_shard_is_closed(client, bucket):
    data = pattern(6 << 20)
    expected = data.tobytes()
    with client.create(f"{bucket}/file") as writer:
        writer.write(data)
        del data
        gc.collect()
        pattern(6 << 20, seed=2)  # takes the memory if it was given back
    assert client.get(f"{bucket}/file") == expected


def test_a_buffer_cannot_be_resized_while_it_is_lent(client, bucket):
    data = bytearray(b"x" * 100)
    writer = client.create(f"{bucket}/file")
    writer.write(data)
    with pytest.raises(BufferError):
        data.extend(b"more")
    writer.close()
    data.extend(b"more")


def test_tensors_of_every_kind_are_written_in_place(client, bucket):
    tensors = [torch.arange(12, dtype=dtype) for dtype in (torch.bfloat16, torch.float64, torch.int8)]
    tensors += [torch.ones(3, requires_grad=True), torch.tensor(2.5), torch.empty(0)]
    client.put(f"{bucket}/file", *tensors)
    data = client.get(f"{bucket}/file")
    assert data == b"".join(t.detach().reshape(-1).view(torch.uint8).numpy().tobytes() for t in tensors)


def test_reads_land_in_tensors(client, bucket):
    source = torch.randn(1000, 100).bfloat16()
    client.put(f"{bucket}/file", source)
    target = torch.empty_like(source)
    with client.open(f"{bucket}/file") as file:
        file.readinto(target)
        half = torch.empty(500, 100, dtype=torch.bfloat16)
        file.readinto(half, half.nbytes)
    assert torch.equal(source, target) and torch.equal(half, source[500:])


@pytest.mark.parametrize(
    "memory",
    [torch.ones(4, 4).t(), np.ones((4, 4))[:, 1], object(), torch.ones(2, device="meta")],
    ids=["transposed", "strided", "object", "meta"],
)
def test_memory_that_cannot_be_used_in_place_is_refused(client, bucket, memory):
    with pytest.raises(cairn.InvalidArgument):
        client.put(f"{bucket}/file", memory)


def test_read_only_memory_is_no_destination(client, bucket):
    client.put(f"{bucket}/file", b"abc")
    with client.open(f"{bucket}/file") as file, pytest.raises(ValueError):
        file.readinto(b"xyz")


# ---- checkpoints


def save_one(client, path, data=b"data", **options):
    with client.begin_checkpoint(path, **options) as checkpoint:
        with checkpoint.shard("rank0.bin") as shard:
            shard.write(data)
        checkpoint.rank_done()
        return checkpoint.commit()


def test_a_checkpoint_is_visible_with_its_commit_and_not_before(client, bucket):
    path = f"{bucket}/run/step-7"
    client.make_directory(f"{bucket}/run")
    ranks = [client.begin_checkpoint(path, world_size=2, rank=0, attributes={"color": "blue"})]
    ranks.append(client.begin_checkpoint(path, world_size=2, rank=1, attempt=ranks[0].attempt))
    for rank, checkpoint in enumerate(ranks):
        with checkpoint.shard(f"rank{rank}.bin") as shard:
            shard.write(pattern(1 << 20, rank))
        checkpoint.rank_done()
    assert not client.exists(f"{path}/rank0.bin")
    assert [c.path for c in client.list_checkpoints(f"{bucket}/run", include_writing=True)] == [path]
    info = ranks[0].commit()
    assert info.committed and info.step == 7 and info.world_size == 2
    shown = client.show_checkpoint(path)
    assert [(s.name, s.rank, s.size_bytes) for s in shown.shards] == [
        ("rank0.bin", 0, 1 << 20),
        ("rank1.bin", 1, 1 << 20),
    ]
    assert shown.attributes == {"color": "blue"} and shown.committed_at >= shown.begun > 0
    assert client.get(f"{path}/rank1.bin") == pattern(1 << 20, 1).tobytes()
    assert client.latest_checkpoint(f"{bucket}/run").path == path


def test_a_missing_rank_is_named(client, bucket):
    checkpoint = client.begin_checkpoint(f"{bucket}/step-1", world_size=3, rank=1)
    checkpoint.rank_done()
    with pytest.raises(cairn.DeadlineExceeded, match=r"0.*2"):
        checkpoint.commit(timeout=0.2)
    checkpoint.abort("done with it")


def test_a_block_that_raises_aborts_for_all_ranks(client, bucket):
    path = f"{bucket}/step-1"
    other = client.begin_checkpoint(path, world_size=2, rank=1)
    with pytest.raises(ZeroDivisionError):
        with client.begin_checkpoint(path, world_size=2, rank=0, attempt=other.attempt):
            1 / 0
    with pytest.raises(cairn.Aborted):
        other.rank_done()
        other.commit(timeout=1)
    assert client.list_checkpoints(bucket, include_writing=True) == []


def test_an_older_attempt_is_refused(client, bucket):
    path = f"{bucket}/step-1"
    old = client.begin_checkpoint(path, world_size=1)
    new = client.begin_checkpoint(path, world_size=1)
    assert new.attempt > old.attempt
    with pytest.raises(cairn.Aborted):
        old.rank_done()
        old.commit(timeout=1)
    with pytest.raises(cairn.Aborted):
        client.begin_checkpoint(path, world_size=1, attempt=old.attempt)
    new.rank_done()
    assert new.commit().attempt == new.attempt


def test_retention_keeps_what_its_rules_say(client, bucket):
    for step in range(1, 6):
        save_one(client, f"{bucket}/step-{step}")
    client.pin_checkpoint(f"{bucket}/step-1")
    policy = cairn.RetentionPolicy(keep_last=1, keep_every_steps=2)
    would_go = client.prune_checkpoints(bucket, policy, dry_run=True)
    assert sorted(c.step for c in would_go) == [3]
    client.set_retention(bucket, policy)
    assert client.get_retention(bucket) == policy
    client.prune_checkpoints(bucket)
    assert [c.step for c in client.list_checkpoints(bucket)] == [1, 2, 4, 5]
    client.unpin_checkpoint(f"{bucket}/step-1")
    client.prune_checkpoints(bucket)
    assert [c.step for c in client.list_checkpoints(bucket)] == [2, 4, 5]


# ---- errors


def test_errors_are_built_in_exceptions_too(client, bucket):
    with pytest.raises(FileNotFoundError) as caught:
        client.get(f"{bucket}/nothing")
    assert isinstance(caught.value, cairn.NotFound) and caught.value.code == "NOT_FOUND"
    assert bucket in str(caught.value) and caught.value.errno == 2
    with pytest.raises(cairn.NotFound):
        client.latest_checkpoint(bucket)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is cairn.NotFound and str(again) == str(caught.value)


@pytest.mark.parametrize("name", ["a/../b", "a//b", "a\0b", "x" * 256, "/".join(["y" * 200] * 25)])
def test_bad_names_are_refused(client, bucket, name):
    with pytest.raises(cairn.InvalidArgument):
        client.put(f"{bucket}/{name}", b"")


def test_nobody_there_is_unavailable_and_says_who():
    client = cairn.Client("127.0.0.1:1", timeout=1)
    with pytest.raises((cairn.Unavailable, cairn.DeadlineExceeded), match="127.0.0.1:1"):
        client.list()


def test_a_closed_client_is_refused(endpoint):
    with cairn.Client(endpoint) as client:
        client.list()
    with pytest.raises(cairn.FailedPrecondition):
        client.list()


# ---- threads, signals, processes


def test_many_threads_share_a_client(client, bucket):
    errors = []

    def work(number):
        try:
            data = pattern(3 << 20, number)
            client.put(f"{bucket}/{number}", data)
            assert client.get(f"{bucket}/{number}") == data.tobytes()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_other_threads_run_while_a_call_waits(client, bucket):
    first = client.begin_checkpoint(f"{bucket}/step-1", world_size=2, rank=0)
    first.rank_done()
    committed = []
    waiting = threading.Thread(target=lambda: committed.append(first.commit(timeout=60)))
    waiting.start()
    # Had the wait kept the GIL, the rank that it waits for could not end it.
    second = client.begin_checkpoint(f"{bucket}/step-1", world_size=2, rank=1, attempt=first.attempt)
    second.rank_done()
    waiting.join(60)
    assert [info.committed for info in committed] == [True]


def interrupt_a_commit(endpoint, path, ready):
    client = cairn.Client(endpoint)
    checkpoint = client.begin_checkpoint(path, world_size=2, rank=0)
    checkpoint.rank_done()
    try:
        ready.set()
        checkpoint.commit(timeout=300)
    except KeyboardInterrupt:
        os._exit(42)
    os._exit(1)


def test_ctrl_c_ends_a_long_wait(endpoint, bucket):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=interrupt_a_commit, args=(endpoint, f"{bucket}/step-1", ready))
    process.start()
    assert ready.wait(60)
    # Sent until it ends: the first may arrive before the commit has begun.
    deadline = time.monotonic() + 60
    while process.is_alive() and time.monotonic() < deadline:
        os.kill(process.pid, signal.SIGINT)
        process.join(0.5)
    assert process.exitcode in (42, 1, -signal.SIGINT) and process.exitcode != 1


def read_in_child(client, path, result):
    result.put(client.get(path))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_client_works_in_a_child_process(client, bucket, method):
    client.put(f"{bucket}/file", b"from the parent")
    context = multiprocessing.get_context(method)
    result = context.Queue()
    process = context.Process(target=read_in_child, args=(client, f"{bucket}/file", result))
    process.start()
    assert result.get(timeout=60) == b"from the parent"
    process.join(60)
    assert process.exitcode == 0
    assert client.get(f"{bucket}/file") == b"from the parent"


def test_what_a_child_inherits_is_refused_and_left_alone(client, bucket):
    client.put(f"{bucket}/file", b"data")
    file = client.open(f"{bucket}/file")
    writer = client.create(f"{bucket}/other")
    writer.write(b"parent's")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(cairn.FailedPrecondition):
                file.read()
            with pytest.raises(cairn.FailedPrecondition):
                writer.close()
            del file, writer
            gc.collect()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    assert file.read() == b"data"
    writer.close()
    assert client.get(f"{bucket}/other") == b"parent's"


def test_a_client_pickles_as_its_address(client, bucket):
    again = pickle.loads(pickle.dumps(client))
    client.put(f"{bucket}/file", b"x")
    assert again.endpoint == client.endpoint and again.get(f"{bucket}/file") == b"x"


def test_the_endpoint_comes_from_the_environment(endpoint, monkeypatch, client):
    monkeypatch.setenv("CAIRN_ENDPOINT", endpoint)
    assert cairn.Client().endpoint == endpoint
    assert cairn.Client().status().keys() == client.status().keys()
