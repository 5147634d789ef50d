"""Goal: a client, and what was made from it, outlives the node: the next call after a restart connects again by itself.
Method: a cairnd of the test's own that is stopped or killed and comes back at the same endpoint."""

import os
import shutil
import tempfile
import threading

import cairn
import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from cairn.torch import CairnStorageReader, CairnStorageWriter
from cairn_harness import BUILD_DIR, Cairnd, free_port

pytestmark = pytest.mark.filterwarnings("ignore")


class Node:
    """One node of many lives, always at the same endpoint."""

    def __init__(self, directory):
        self._data = os.path.join(directory, "data")
        self.endpoint = f"127.0.0.1:{free_port()}"
        self.server = None

    def start(self):
        self.server = Cairnd(self._data, {"targets": [{"size": "256MiB"}]}, listen=self.endpoint).start()
        return self

    def end(self, how):
        if how == "stop":
            assert self.server.stop() == 0
        else:
            self.server.kill()

    def restart(self, how):
        self.end(how)
        self.start()


@pytest.fixture
def node():
    base = os.path.join(BUILD_DIR, "tests", "scratch")
    os.makedirs(base, exist_ok=True)
    directory = tempfile.mkdtemp(prefix="restart-", dir=base)
    node = Node(directory)
    yield node
    if node.server is not None:
        node.server.kill()
    shutil.rmtree(directory, ignore_errors=True)


both_ways = pytest.mark.parametrize("how", ["stop", "kill"])


def pattern(size, seed=1):
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


@both_ways
def test_a_client_goes_on_after_restarts(node, how):
    client = cairn.Client(node.start().endpoint)
    client.make_directory("b")
    client.make_directory("b/run")
    cluster = client.status()["cluster_id"]
    for step in range(1, 4):
        client.put(f"b/file-{step}", pattern(9 << 20, step))
        with client.begin_checkpoint(f"b/run/step-{step}") as checkpoint:
            with checkpoint.shard("shard") as shard:
                shard.write(pattern(5 << 20, step))
            checkpoint.rank_done()
            checkpoint.commit()
        node.restart(how)
        for earlier in range(1, step + 1):
            assert client.get(f"b/file-{earlier}") == pattern(9 << 20, earlier)
            assert client.get(f"b/run/step-{earlier}/shard") == pattern(5 << 20, earlier)
        assert client.latest_checkpoint("b/run").step == step
        assert client.status()["cluster_id"] == cluster


@both_ways
def test_an_open_file_is_read_after_a_restart(node, how):
    client = cairn.Client(node.start().endpoint)
    client.make_directory("b")
    client.put("b/file", pattern(9 << 20))
    with client.open("b/file") as file:
        assert file.read(5, 10) == pattern(9 << 20)[5:15]
        node.restart(how)
        assert file.read() == pattern(9 << 20)


@both_ways
def test_a_shard_begun_before_a_restart_is_committed_after_it(node, how):
    client = cairn.Client(node.start().endpoint)
    client.make_directory("b")
    checkpoint = client.begin_checkpoint("b/step-1")
    shard = checkpoint.shard("shard")
    shard.write(pattern(20 << 20, 1))
    # What was written and is not sealed goes with the process, and is sent again from the caller's memory.
    node.restart(how)
    shard.write(pattern(3 << 20, 2))
    shard.close()
    checkpoint.rank_done()
    assert checkpoint.commit().committed
    assert client.get("b/step-1/shard") == pattern(20 << 20, 1) + pattern(3 << 20, 2)


def test_a_client_says_when_nobody_answers_and_works_when_the_node_is_back(node):
    client = cairn.Client(node.endpoint, timeout=1)
    # It has never connected; later it has, and lost the connection.
    for _ in range(2):
        with pytest.raises((cairn.Unavailable, cairn.DeadlineExceeded)):
            client.list()
        node.start()
        assert "default" in [entry.name for entry in client.list()]
        node.end("kill")


def test_a_call_waits_for_a_node_that_comes_back(node):
    client = cairn.Client(node.start().endpoint)
    client.put("default/file", b"data")
    node.end("kill")
    got = []
    waiting = threading.Thread(target=lambda: got.append(client.get("default/file")))
    waiting.start()
    node.start()
    waiting.join(60)
    assert got == [b"data"]


@both_ways
def test_a_writer_and_a_reader_made_once_go_on(node, how):
    client = cairn.Client(node.start().endpoint)
    writer, reader = CairnStorageWriter(client=client), CairnStorageReader(client=client)
    for step in range(1, 4):
        state = {"w": torch.full((600, 700), float(step)), "step": step}
        dcp.save(state, checkpoint_id=f"cairn://default/run/step-{step}", storage_writer=writer)
        node.restart(how)
        for earlier in range(1, step + 1):
            got = {"w": torch.zeros(600, 700), "step": 0}
            dcp.load(got, checkpoint_id=f"cairn://default/run/step-{earlier}", storage_reader=reader)
            assert got["step"] == earlier and torch.equal(got["w"], torch.full((600, 700), float(earlier)))
    assert client.latest_checkpoint("default/run").step == 3


class _RestartBetween(CairnStorageWriter):
    """The node goes and comes back between the shards and the metadata of each save."""

    def __init__(self, node, how, **options):
        super().__init__(**options)
        self._restart = lambda: node.restart(how)

    def finish(self, metadata, results):
        self._restart()
        super().finish(metadata, results)


@both_ways
def test_a_save_survives_a_restart_in_its_middle(node, how):
    client = cairn.Client(node.start().endpoint)
    writer = _RestartBetween(node, how, client=client)
    state = {"w": torch.randn(600, 700)}
    dcp.save(state, checkpoint_id="default/run/step-1", storage_writer=writer)
    assert client.show_checkpoint("default/run/step-1").committed
    got = {"w": torch.zeros(600, 700)}
    dcp.load(got, checkpoint_id="default/run/step-1", storage_reader=CairnStorageReader(client=client))
    assert torch.equal(got["w"], state["w"])
