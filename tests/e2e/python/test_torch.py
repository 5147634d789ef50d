"""cairn.torch in one process: what is saved is loaded, atomically, and any safetensors reader opens it."""

import copy
import gc
import json
import pickle
import subprocess
import sys
import time
import warnings

import cairn
import pytest
import torch
import torch.distributed.checkpoint as dcp
from cairn.torch import CairnStorageReader, CairnStorageWriter, async_save, latest, load, save, staging
from safetensors import safe_open
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner

pytestmark = pytest.mark.filterwarnings("ignore")


def every_kind():
    return {
        "matrix": torch.randn(700, 500),
        "transposed": torch.randn(300, 200).t(),
        "parameter": torch.nn.Parameter(torch.randn(50, 3)),
        "bfloat16": torch.randn(33, 7).bfloat16(),
        "float8": torch.randn(16, 16).to(torch.float8_e4m3fn),
        "bool": torch.tensor([True, False, True]),
        "complex64": torch.randn(9, dtype=torch.complex64),
        "complex128": torch.randn(3, 5, dtype=torch.complex128),
        "conjugate": torch.randn(4, dtype=torch.complex64).conj(),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "empty": torch.empty(0, 3),
        "step": 7,
        "nested": {"list": [torch.arange(5), 1.5, "text"], "none": None},
        "small": {str(i): torch.full((i % 13,), float(i)) for i in range(600)},
    }


def blank(value):
    if isinstance(value, torch.Tensor):
        return torch.zeros_like(value)
    if isinstance(value, dict):
        return {key: blank(each) for key, each in value.items()}
    if isinstance(value, list):
        return [blank(each) for each in value]
    return type(value)() if value is not None else None


def assert_same(got, expected, where="state"):
    if isinstance(expected, torch.Tensor):
        assert got.dtype == expected.dtype and got.shape == expected.shape, where
        as_bytes = [t.detach().resolve_conj().contiguous().view(-1).view(torch.uint8) for t in (got, expected)]
        assert torch.equal(*as_bytes), where
    elif isinstance(expected, dict):
        assert got.keys() == expected.keys(), where
        for key in expected:
            assert_same(got[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        for index, (one, other) in enumerate(zip(got, expected)):
            assert_same(one, other, f"{where}[{index}]")
    else:
        assert got == expected, where


@pytest.fixture(autouse=True)
def use_endpoint(endpoint):
    """Writers and readers find the cluster by the environment."""


# ---- saving and loading


def test_every_kind_of_value_comes_back(bucket):
    state = every_kind()
    save(state, f"{bucket}/run/step-1")
    got = blank(state)
    load(got, f"cairn://{bucket}/run/step-1")
    assert_same(got, state)


def test_values_load_into_other_layouts_and_dtypes(bucket):
    state = {"a": torch.randn(64, 48), "b": torch.randn(64, 48)}
    save(state, f"{bucket}/step-1")
    got = {"a": torch.zeros(48, 64).t(), "b": torch.zeros(64, 48, dtype=torch.float64)}
    load(got, f"{bucket}/step-1")
    assert torch.equal(got["a"], state["a"]) and torch.equal(got["b"], state["b"].double())


def test_some_keys_can_be_loaded_alone(bucket, monkeypatch):
    save({"a": torch.randn(1 << 20), "b": torch.randn(1 << 20)}, f"{bucket}/step-1")
    read = []
    original = cairn.File.read_ranges
    monkeypatch.setattr(
        cairn.File, "read_ranges", lambda self, ranges: (read.extend(ranges), original(self, ranges))[1]
    )
    load({"b": torch.zeros(1 << 20)}, f"{bucket}/step-1")
    assert sum(getattr(target, "size_bytes", None) or target.nbytes for _, target in read) == 4 << 20


def test_a_shard_is_a_safetensors_file(client, bucket, tmp_path):
    state = every_kind()
    save(state, f"{bucket}/step-1")
    info = client.show_checkpoint(f"{bucket}/step-1")
    assert [shard.name for shard in info.shards] == [".metadata", "__0_0.safetensors"]
    path = tmp_path / "shard.safetensors"
    path.write_bytes(client.get(f"{bucket}/step-1/__0_0.safetensors"))
    with safe_open(path, "pt") as file:
        for name in ("matrix", "transposed", "bfloat16", "float8", "bool", "complex64", "scalar", "empty"):
            assert_same(file.get_tensor(name), state[name], name)
        metadata = file.metadata()
        assert set(json.loads(metadata["cairn.objects"])) == {"step", "nested.list.1", "nested.list.2", "nested.none"}
        raw = file.get_tensor("complex128")
        assert json.loads(metadata["cairn.dtypes"]) == {"complex128": "torch.complex128"}
        assert torch.equal(raw.view(torch.complex128).squeeze(-1), state["complex128"])


def test_data_starts_on_a_block_boundary(client, bucket):
    save({"a": torch.randn(1 << 20)}, f"{bucket}/step-1")
    with client.open(f"{bucket}/step-1/__0_0.safetensors") as file:
        header = 8 + int.from_bytes(file.read(0, 8), "little")
        assert header % 65536 == 0 and file.size_bytes == header + (4 << 20)


# ---- atomicity


class _Failing(DefaultSavePlanner):
    def resolve_data(self, item):
        if item.index.fqn == "b":
            raise RuntimeError("planted")
        return super().resolve_data(item)


def test_a_save_replaces_the_older_one_whole(client, bucket):
    path = f"{bucket}/step-1"
    save({"a": torch.ones(10), "b": torch.ones(10)}, path)
    first = client.show_checkpoint(path)
    save({"a": torch.full((10,), 2.0)}, path)
    second = client.show_checkpoint(path)
    assert second.attempt > first.attempt
    got = {"a": torch.zeros(10)}
    load(got, path)
    assert torch.equal(got["a"], torch.full((10,), 2.0))


def test_a_save_that_fails_leaves_the_older_one_and_no_attempt(client, bucket):
    path = f"{bucket}/step-1"
    save({"a": torch.ones(10), "b": torch.ones(10)}, path)
    with pytest.raises(CheckpointException, match="planted"):
        save({"a": torch.zeros(10), "b": torch.zeros(10)}, path, planner=_Failing())
    got = {"a": torch.zeros(10), "b": torch.zeros(10)}
    load(got, path)
    assert torch.equal(got["b"], torch.ones(10))
    assert [c.committed for c in client.list_checkpoints(bucket, include_writing=True)] == [True]


def test_a_first_save_that_fails_leaves_nothing(client, bucket):
    with pytest.raises(CheckpointException, match="planted"):
        save({"a": torch.zeros(10), "b": torch.zeros(10)}, f"{bucket}/step-1", planner=_Failing())
    assert client.list_checkpoints(bucket, include_writing=True) == []
    assert not client.exists(f"{bucket}/step-1")
    assert latest(bucket) is None


def test_overwriting_can_be_refused(bucket):
    state = {"a": torch.ones(3)}
    dcp.save(state, storage_writer=CairnStorageWriter(f"{bucket}/step-1", overwrite=False))
    with pytest.raises(CheckpointException, match="overwrite is False"):
        dcp.save(state, storage_writer=CairnStorageWriter(f"{bucket}/step-1", overwrite=False))


def test_one_writer_and_reader_serve_many_checkpoints(bucket):
    writer, reader = CairnStorageWriter(), CairnStorageReader()
    for step in range(3):
        dcp.save({"a": torch.full((4,), step)}, storage_writer=writer, checkpoint_id=f"cairn://{bucket}/step-{step}")
    for step in range(3):
        got = {"a": torch.zeros(4, dtype=torch.int64)}
        dcp.load(got, storage_reader=reader, checkpoint_id=f"cairn://{bucket}/step-{step}")
        assert torch.equal(got["a"], torch.full((4,), step))
    assert latest(bucket) == f"{bucket}/step-2"


def test_a_planner_that_caches_plans_works(bucket):
    key = DefaultSavePlanner.__name__
    try:
        for step in range(3):
            planner = DefaultSavePlanner(enable_plan_caching=True)
            save({"a": torch.full((4,), float(step))}, f"{bucket}/step-{step}", planner=planner)
            got = {"a": torch.zeros(4)}
            load(got, f"{bucket}/step-{step}")
            assert got["a"][0] == step
    finally:
        for cache in ("save_plan", "final_save_plan", "all_plans", "global_plan", "metadata"):
            getattr(DefaultSavePlanner, f"_cached_{cache}").pop(key, None)


# ---- asynchronous saves


def test_an_async_save_holds_what_was_there_when_it_returned(bucket):
    state = every_kind()
    expected = copy.deepcopy(state)
    future = async_save(state, f"{bucket}/step-1")
    state["matrix"].zero_()
    state["nested"]["list"][0].zero_()
    state["nested"]["list"].append("later")
    future.result()
    got = blank(expected)
    load(got, f"{bucket}/step-1")
    assert_same(got, expected)


def test_staging_memory_is_reused_and_bounded(bucket):
    staging.release_staging()
    state = {"a": torch.randn(1 << 20)}
    addresses = set()
    for step in range(4):
        async_save(state, f"{bucket}/step-{step}").result()
        # The thread that saved may hold the copy a moment longer than the result takes to come.
        for _ in range(500):
            gc.collect()
            if not any(arena.in_use for arena in staging._arenas):
                break
            time.sleep(0.01)
        addresses |= {arena.bytes.data_ptr() for arena in staging._arenas}
    assert len(addresses) == 1
    staged = [staging.HostStager().stage(state) for _ in range(4)]
    assert len(staging._arenas) == 2 and all(arena.in_use for arena in staging._arenas)
    starts = {each["a"].data_ptr() for each in staged}
    assert len(starts) == 4
    del staged
    gc.collect()
    assert not any(arena.in_use for arena in staging._arenas)


def test_tied_tensors_are_staged_once():
    weight = torch.randn(1000)
    staged = staging.HostStager().stage({"a": weight, "b": weight, "view": weight[:10]})
    assert staged["a"].data_ptr() == staged["b"].data_ptr() != weight.data_ptr()
    assert torch.equal(staged["view"], weight[:10])


def test_a_failed_async_save_reports_its_error(bucket):
    future = async_save({"a": torch.ones(3), "b": torch.ones(3)}, f"{bucket}/step-1", planner=_Failing())
    with pytest.raises(CheckpointException, match="planted"):
        future.result()


# ---- odds and ends


def test_writers_and_readers_pickle(bucket):
    path = f"{bucket}/step-1"
    writer = pickle.loads(pickle.dumps(CairnStorageWriter(path)))
    dcp.save({"a": torch.ones(3)}, storage_writer=writer)
    got = {"a": torch.zeros(3)}
    dcp.load(got, storage_reader=pickle.loads(pickle.dumps(CairnStorageReader(path))))
    assert torch.equal(got["a"], torch.ones(3))


@pytest.mark.parametrize(
    "checkpoint_id, valid",
    [
        ("cairn://bucket/run/step-1", True),
        ("bucket/step-1", True),
        ("cairn://bucket", False),
        ("bucket", False),
        ("/mnt/bucket/step-1", False),
        ("s3://bucket/step-1", False),
        ("cairn://bucket//step", False),
        ("bucket/../step", False),
    ],
)
def test_checkpoint_ids(checkpoint_id, valid):
    assert CairnStorageWriter.validate_checkpoint_id(checkpoint_id) is valid
    assert CairnStorageReader.validate_checkpoint_id(checkpoint_id) is valid


def test_tensors_that_cannot_be_sent_in_place_pass_through_bounded_memory(bucket):
    state = {f"t{i}": torch.randn(600, 700).t() for i in range(6)}
    state["plain"] = torch.randn(1000)
    writer = CairnStorageWriter(f"{bucket}/step-1", staging_bytes=4 << 20)
    dcp.save(state, storage_writer=writer)
    got = blank(state)
    load(got, f"{bucket}/step-1")
    assert_same(got, state)


MEMORY = """
import resource, sys, warnings
import torch
warnings.simplefilter("ignore")
from cairn.torch import load, save
state = {str(i): torch.full((64 << 20,), i, dtype=torch.uint8) for i in range(6)}
got = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
save({"warm": torch.ones(9)}, sys.argv[1] + "/step-0")
load({"warm": torch.ones(9)}, sys.argv[1] + "/step-0")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for tensor in got.values():
    tensor.add_(1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save(state, sys.argv[1] + "/step-1")
load(got, sys.argv[1] + "/step-1")
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert all(torch.equal(state[name], got[name]) for name in state)
print((after - before) / 1024)
"""


def test_saving_and_loading_copy_no_tensor(bucket):
    done = subprocess.run([sys.executable, "-c", MEMORY, bucket], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split()[-1]) < 64, "MiB beyond the caller's tensors"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: torch.cuda.is_available() is False")
def test_cuda_tensors_are_staged_through_pinned_memory(bucket):
    state = {f"t{i}": torch.randn(1 << 20, device="cuda") for i in range(8)}
    state["host"] = torch.randn(100)
    dcp.save(state, storage_writer=CairnStorageWriter(f"{bucket}/step-1", staging_bytes=8 << 20))
    future = async_save(state, f"{bucket}/step-2")
    expected = {name: tensor.clone() for name, tensor in state.items()}
    for tensor in state.values():
        tensor.zero_()
    future.result()
    for step in (1, 2):
        got = blank(expected)
        load(got, f"{bucket}/step-{step}")
        assert all(torch.equal(got[name], expected[name]) for name in expected)
    assert any(arena.pinned for arena in staging._arenas)
