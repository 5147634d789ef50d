"""Goal: shards that any release wrote stay readable. Method: golden files of one shard with an item of each kind,
and of the record that a checkpoint's index holds of one. The shard must also be laid out to the same bytes today;
``CAIRN_GOLDEN_WRITE=1`` writes the files anew (tests/compat/README.md).
"""

import json
import os
import pickle
from pathlib import Path

import torch
from cairn.torch.layout import Encoding, Part, StoredItem, lay_out
from safetensors import safe_open

GOLDEN = Path(__file__).resolve().parents[2] / "compat" / "golden"
SHARD = GOLDEN / "shard_v1.safetensors"
STORED_ITEMS = GOLDEN / "stored_items_v1.pickle"

CHUNK = torch.arange(6, dtype=torch.float32).reshape(2, 3)
WIDE = torch.tensor([1 + 2j, -3.5j], dtype=torch.complex128)
HALF = torch.tensor([[1.5, -2.0]], dtype=torch.bfloat16)
COUNTER = torch.tensor(1 << 40)


def parts():
    return [
        Part("layers.0.weight", CHUNK, Encoding.RAW, (4, 3), (2, 0), is_chunk=True),
        Part("half", HALF, Encoding.RAW),
        Part("counter", COUNTER, Encoding.RAW),
        Part("wide", WIDE, Encoding.RAW),
        Part("none", torch.empty(0, 3), Encoding.RAW),
        Part("__metadata__", torch.tensor([7], dtype=torch.uint8), Encoding.RAW),
        Part("sparse", memoryview(b"a tensor's torch.save"), Encoding.TORCH_SAVE),
        Part("epoch", memoryview(b"an object's bytes"), Encoding.OBJECT),
    ]


def stored_items():
    return [
        StoredItem("__0_0.safetensors", 4096, 24, Encoding.RAW, (2, 3), torch.float32),
        StoredItem("__0_0.safetensors", 4120, 17, Encoding.OBJECT),
    ]


def content_of(layout):
    # Through uint8: numpy has no bfloat16, and a view needs a dimension.
    data = [
        part.data.tobytes()
        if isinstance(part.data, memoryview)
        else part.data.reshape(-1).view(torch.uint8).numpy().tobytes()
        for part in layout.parts
    ]
    return layout.header + b"".join(data)


def golden(path, content):
    if os.environ.get("CAIRN_GOLDEN_WRITE"):
        path.write_bytes(content)
    return path.read_bytes()


def test_a_shard_is_laid_out_as_ever():
    content = content_of(lay_out(parts(), 16))
    assert content == golden(SHARD, content), "the shard's format has changed; see tests/compat/README.md"


def test_an_old_shard_opens_as_safetensors():
    with safe_open(SHARD, "pt") as file:
        metadata = file.metadata()
        assert torch.equal(file.get_tensor("layers.0.weight@2_0"), CHUNK)
        assert torch.equal(file.get_tensor("half"), HALF)
        assert torch.equal(file.get_tensor("counter"), COUNTER)
        assert torch.equal(file.get_tensor("wide").view(torch.complex128).reshape(-1), WIDE)
        assert file.get_tensor("none").shape == (0, 3)
        assert file.get_tensor("__metadata__@").tolist() == [7]
        assert bytes(file.get_tensor("epoch").numpy()) == b"an object's bytes"
    assert metadata["cairn.version"] == "1"
    assert json.loads(metadata["cairn.chunks"]) == {
        "layers.0.weight@2_0": {"fqn": "layers.0.weight", "global_shape": [4, 3], "offsets": [2, 0]}
    }
    assert json.loads(metadata["cairn.objects"]) == {"sparse": "torch_save", "epoch": "object"}
    assert json.loads(metadata["cairn.dtypes"]) == {"wide": "torch.complex128"}


def test_an_old_index_names_items_that_are_known():
    # Only reading is pinned: which bytes a pickle has is Python's affair.
    items = stored_items()
    assert pickle.loads(golden(STORED_ITEMS, pickle.dumps(items, protocol=4))) == items
