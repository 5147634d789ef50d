"""What a save or a load of cairn.torch costs the servers, by their own counters."""

import os

import pytest
import ranks
import torch
from cairn.torch import load, save
from ranks import run_ranks

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def use_endpoint(endpoint, monkeypatch):
    # Spawned ranks import `ranks` and find the cluster by the environment.
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")]))


def counter(client, name):
    """One of the node's counters; protobuf's JSON gives 64-bit numbers as text and leaves zeros out."""
    return int(client.status().get("counters", {}).get(name, 0))


def flushes_of(client, state, path):
    before = counter(client, "cairn_target_flushes_total")
    save(state, path)
    return counter(client, "cairn_target_flushes_total") - before


def mixed_state():
    """Tensors sent in place and tensors that pass through buffers, in turns, of every width of element."""
    state = {}
    for index in range(24):
        dtype = (torch.float64, torch.float32, torch.bfloat16, torch.int8)[index % 4]
        matrix = torch.arange(180 * 200).reshape(180, 200).add(index).to(dtype)
        state[f"in_place{index}"] = matrix
        state[f"transposed{index}"] = matrix.t()
        state[f"scalar{index}"] = torch.tensor(index, dtype=dtype)
        state[f"column{index}"] = matrix[:9, 3]
        state[f"step{index}"] = index
    return state


def test_flushes_do_not_grow_with_the_kinds_of_tensors(client, bucket):
    plain = {f"t{index}": torch.randn(200, 200) for index in range(24)}
    expected = flushes_of(client, plain, f"{bucket}/plain")
    state = mixed_state()
    assert flushes_of(client, state, f"{bucket}/mixed") == expected
    got = {name: torch.zeros_like(value) if isinstance(value, torch.Tensor) else -1 for name, value in state.items()}
    load(got, f"{bucket}/mixed")
    for name, value in state.items():
        assert torch.equal(got[name], value) if isinstance(value, torch.Tensor) else got[name] == value, name


BLOCK_BYTES = 64 << 10  # what is checked, and so read from a disk, as one


@pytest.mark.parametrize("dim", [0, 1], ids=["rows_of_2", "columns_of_2"])
def test_a_load_onto_other_ranks_reads_what_they_want_and_no_more(client, bucket, tmp_path, dim):
    path = f"{bucket}/step-1"
    run_ranks(4, ranks.save_wide, tmp_path, path, 0)
    names = ("cairn_target_read_bytes_total", "cairn_fabric_pushed_bytes_total")
    before = [counter(client, name) for name in names]
    run_ranks(2, ranks.load_wide, tmp_path, path, dim)
    wanted = 4 * ranks.WIDE[0] * ranks.WIDE[1]
    # Each rank reads the index; the pieces of the tensor begin and end on blocks.
    index = 2 * -(-client.stat(f"{path}/.metadata").size_bytes // BLOCK_BYTES) * BLOCK_BYTES
    for name, start in zip(names, before):
        assert wanted <= counter(client, name) - start <= wanted + index, name
