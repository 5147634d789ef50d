"""What a save or a load of cairn.torch costs the servers, by their own counters."""

import pytest
import torch
from cairn.torch import load, save

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def use_endpoint(endpoint):
    """Writers and readers find the cluster by the environment."""


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
