"""cairn.torch.layout: what it lays out is what the safetensors package reads."""

import json

import pytest
import torch
from cairn.torch.layout import Encoding, Part, StoredItem, encode_tensor, lay_out
from safetensors import safe_open


def raw(name, tensor, **chunk):
    return Part(name, tensor, Encoding.RAW, **chunk)


def file_of(layout):
    data = [part.data if isinstance(part.data, memoryview) else part.data.numpy() for part in layout.parts]
    return layout.header + b"".join(part.tobytes() for part in data)


def test_the_file_opens_and_the_offsets_are_the_file_s(tmp_path):
    parts = [
        raw("a", torch.arange(6, dtype=torch.int8)),
        raw("b", torch.randn(3, 4)),
        Part("obj", memoryview(b"pickle"), Encoding.OBJECT),
        raw("c", torch.randn(2, 2), global_shape=(4, 2), offsets=(2, 0), is_chunk=True),
    ]
    layout = lay_out(parts, 0)
    content = file_of(layout)
    assert len(content) == layout.size_bytes
    for part, offset in zip(layout.parts, layout.offsets):
        data = part.data if isinstance(part.data, memoryview) else part.data.numpy()
        assert content[offset : offset + part.nbytes] == data.tobytes()
    (tmp_path / "f").write_bytes(content)
    with safe_open(tmp_path / "f", "pt") as file:
        assert set(file.keys()) == {"a", "b", "obj", "c@2_0"}
        assert torch.equal(file.get_tensor("b"), parts[1].data)
        metadata = file.metadata()
    assert json.loads(metadata["cairn.chunks"]) == {
        "c@2_0": {"fqn": "c", "global_shape": [4, 2], "offsets": [2, 0]}
    }
    assert json.loads(metadata["cairn.objects"]) == {"obj": "object"}


def test_wide_elements_come_first_and_small_ones_are_neighbours():
    parts = [
        raw("bytes", torch.zeros(5, dtype=torch.uint8)),
        raw("large", torch.zeros(100)),
        raw("half", torch.zeros(3, dtype=torch.float16)),
        raw("small", torch.zeros(2)),
        raw("double", torch.zeros(1, dtype=torch.float64)),
        raw("small2", torch.zeros(2)),
    ]
    layout = lay_out(parts, 64)
    assert [part.fqn for part in layout.parts] == ["double", "small", "small2", "large", "half", "bytes"]
    for part, offset in zip(layout.parts, layout.offsets):
        assert offset % part.data.element_size() == 0


def test_what_is_sent_in_place_is_not_interleaved_with_what_is_not():
    parts = []
    for index in range(4):
        parts += [raw(f"plain{index}", torch.zeros(20, 30)), raw(f"turned{index}", torch.zeros(20, 30).t())]
        parts += [raw(f"byte{index}", torch.zeros(3, dtype=torch.uint8)), raw(f"one{index}", torch.zeros(()))]
    ordered = [part.fqn.rstrip("0123") for part in lay_out(parts, 64).parts]
    assert ordered == ["one"] * 4 + ["plain"] * 4 + ["turned"] * 4 + ["byte"] * 4


@pytest.mark.parametrize("size, alignment", [(10, 4096), (1 << 20, 65536)])
def test_data_starts_on_a_boundary(size, alignment):
    layout = lay_out([raw("a", torch.zeros(size, dtype=torch.uint8))], 0)
    assert len(layout.header) == alignment


def test_an_empty_shard_and_an_empty_tensor_are_valid(tmp_path):
    for parts in ([], [raw("none", torch.empty(0, 3))]):
        (tmp_path / "f").write_bytes(file_of(lay_out(parts, 0)))
        with safe_open(tmp_path / "f", "pt") as file:
            assert len(file.keys()) == len(parts)


def test_the_reserved_name_is_escaped():
    layout = lay_out([raw("__metadata__", torch.zeros(1))], 0)
    assert b'"__metadata__@"' in layout.header


def test_two_items_of_one_name_are_refused():
    with pytest.raises(ValueError, match="'a'"):
        lay_out([raw("a", torch.zeros(1)), raw("a", torch.zeros(1))], 0)


def test_what_has_no_plain_memory_is_stored_as_torch_saves_it():
    data, encoding = encode_tensor(torch.eye(3).to_sparse())
    assert encoding == Encoding.TORCH_SAVE and isinstance(data, memoryview)
    data, encoding = encode_tensor(torch.nn.Parameter(torch.eye(3)))
    assert encoding == Encoding.RAW and not data.requires_grad


def test_a_stored_item_pickles():
    import pickle

    item = StoredItem("f", 1, 2, Encoding.RAW, (3, 4), torch.bfloat16)
    assert pickle.loads(pickle.dumps(item)) == item
