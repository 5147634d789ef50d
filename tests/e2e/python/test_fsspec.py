"""The scheme cairn:// in fsspec, and DCP through it with no code of ours."""

import io
import os
import pickle
import warnings

import cairn
import fsspec
import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from cairn.fsspec import CairnFileSystem


@pytest.fixture
def fs(endpoint):
    return fsspec.filesystem("cairn", endpoint=endpoint)


def test_the_scheme_is_registered_by_entry_point():
    assert fsspec.get_filesystem_class("cairn") is CairnFileSystem


def test_a_url_opens_with_the_environment_s_endpoint(endpoint, bucket):
    with fsspec.open(f"cairn://{bucket}/file", "wb") as file:
        file.write(b"hello")
    with fsspec.open(f"cairn://{bucket}/file", "rb") as file:
        assert file.read() == b"hello"
    with fsspec.open(f"cairn://{bucket}/file", "r") as file:
        assert file.read() == "hello"


def test_a_large_file_is_streamed_through_a_bounded_buffer(fs, bucket):
    block = np.random.default_rng(3).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()
    with fs.open(f"{bucket}/file", "wb") as file:
        for _ in range(60):
            assert file.write(block) == len(block)
        assert file.tell() == 60 * len(block)
        held = len(file._sent) + len(file._free) + 1
    assert held <= 33
    with fs.open(f"{bucket}/file", "rb") as file:
        for _ in range(60):
            assert file.read(len(block)) == block
        assert file.read() == b""
        file.seek(-10, io.SEEK_END)
        assert file.read() == block[-10:]
        file.seek(len(block) - 1)
        assert file.read(2) == block[-1:] + block[:1]
        assert file.size == 60 * len(block)


def test_a_block_that_raises_leaves_nothing_visible(fs, bucket):
    with pytest.raises(RuntimeError), fs.open(f"{bucket}/file", "wb") as file:
        file.write(b"half")
        raise RuntimeError("stop")
    assert not fs.exists(f"{bucket}/file")


def test_a_file_dropped_unclosed_is_not_published(fs, bucket):
    file = fs.open(f"{bucket}/file", "wb")
    file.write(b"half")
    del file
    assert not fs.exists(f"{bucket}/file")


def test_fsync_of_the_descriptor_works_and_nothing_else_does(fs, bucket):
    with fs.open(f"{bucket}/file", "wb") as file:
        file.write(b"x")
        os.fsync(file.fileno())
        with pytest.raises(OSError):
            os.write(file.fileno(), b"lost")
    assert fs.cat_file(f"{bucket}/file") == b"x"


def test_a_transaction_publishes_at_its_end_or_not_at_all(fs, bucket):
    with fs.transaction:
        with fs.open(f"{bucket}/a", "wb") as file:
            file.write(b"a")
        assert not fs.exists(f"{bucket}/a")
    assert fs.cat_file(f"{bucket}/a") == b"a"
    with pytest.raises(RuntimeError), fs.transaction:
        with fs.open(f"{bucket}/b", "wb") as file:
            file.write(b"b")
        raise RuntimeError("stop")
    assert not fs.exists(f"{bucket}/b")


def test_the_tree(fs, bucket):
    fs.makedirs(f"{bucket}/d/e", exist_ok=True)
    fs.makedirs(f"{bucket}/d/e", exist_ok=True)
    with pytest.raises(FileExistsError):
        fs.makedirs(f"{bucket}/d/e")
    fs.pipe(f"{bucket}/d/x", b"123")
    fs.touch(f"{bucket}/d/e/y")
    assert fs.ls(f"{bucket}/d", detail=False) == [f"{bucket}/d/e", f"{bucket}/d/x"]
    info = fs.info(f"cairn://{bucket}/d/x")
    assert (info["name"], info["size"], info["type"]) == (f"{bucket}/d/x", 3, "file")
    assert fs.isdir(f"{bucket}/d") and fs.isfile(f"{bucket}/d/x") and not fs.isfile(f"{bucket}/d")
    assert fs.find(bucket) == [f"{bucket}/d/e/y", f"{bucket}/d/x"]
    assert fs.glob(f"{bucket}/d/*") == [f"{bucket}/d/e", f"{bucket}/d/x"]
    fs.cp_file(f"{bucket}/d/x", f"{bucket}/copy")
    fs.mv(f"{bucket}/copy", f"{bucket}/moved")
    assert fs.cat_file(f"{bucket}/moved") == b"123" and not fs.exists(f"{bucket}/copy")
    fs.rename(f"{bucket}/moved", f"{bucket}/d/x")
    fs.rm(f"{bucket}/d/x")
    with pytest.raises(FileNotFoundError):
        fs.info(f"{bucket}/d/x")
    with pytest.raises(FileNotFoundError):
        fs.ls(f"{bucket}/nothing")
    fs.rm(f"{bucket}/d", recursive=True)
    assert fs.ls(bucket) == [] and bucket in fs.ls("", detail=False)


def test_ranges(fs, bucket):
    fs.pipe(f"{bucket}/a", b"0123456789")
    fs.pipe(f"{bucket}/b", b"abcdef")
    assert fs.cat_file(f"{bucket}/a", 2, 5) == b"234" and fs.cat_file(f"{bucket}/a", -3) == b"789"
    paths = [f"{bucket}/a", f"{bucket}/b", f"{bucket}/a", f"{bucket}/none"]
    got = fs.cat_ranges(paths, [0, 1, 8, 0], [2, 3, 100, 1])
    assert got[:3] == [b"01", b"bc", b"89"] and isinstance(got[3], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, [0, 1, 8, 0], [2, 3, 100, 1], on_error="raise")
    assert fs.cat([f"{bucket}/a", f"{bucket}/b"]) == {f"{bucket}/a": b"0123456789", f"{bucket}/b": b"abcdef"}


def test_files_and_the_file_system_pickle(fs, bucket):
    fs.pipe(f"{bucket}/a", b"0123456789")
    with fs.open(f"{bucket}/a") as file:
        file.seek(4)
        assert pickle.loads(pickle.dumps(file)).read() == b"456789"
    assert pickle.loads(pickle.dumps(fs)).cat_file(f"{bucket}/a") == b"0123456789"


def test_local_files_go_up_and_down(fs, bucket, tmp_path):
    (tmp_path / "up").write_bytes(b"data" * 1000)
    fs.put_file(str(tmp_path / "up"), f"{bucket}/file")
    fs.get_file(f"{bucket}/file", str(tmp_path / "down"))
    assert (tmp_path / "down").read_bytes() == b"data" * 1000


def test_dcp_saves_and_loads_by_url_alone(client, bucket):
    state = {"w": torch.randn(500, 300), "n": {"step": 3, "v": torch.arange(7)}}
    url = f"cairn://{bucket}/run/step-3"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(2):  # the second overwrites
            dcp.save(state, checkpoint_id=url)
        got = {"w": torch.zeros(500, 300), "n": {"step": 0, "v": torch.zeros(7, dtype=torch.int64)}}
        dcp.load(got, checkpoint_id=url)
        assert torch.equal(got["w"], state["w"]) and torch.equal(got["n"]["v"], state["n"]["v"])
        assert got["n"]["step"] == 3
        # The checkpoint that torch's own writer made, through our reader.
        from cairn.torch import load

        got["w"].zero_()
        load(got, url, endpoint=client.endpoint)
        assert torch.equal(got["w"], state["w"])
    assert {entry.name for entry in client.list(f"{bucket}/run/step-3")} == {".metadata", "__0_0.distcp"}


def test_errors_are_cairn_s(fs, bucket):
    with pytest.raises(cairn.NotFound):
        fs.open(f"{bucket}/none")
    with pytest.raises(cairn.InvalidArgument):
        fs.open(f"{bucket}/none", "ab")


def test_a_text_block_that_raises_leaves_nothing_visible(fs, bucket):
    with pytest.raises(RuntimeError), fs.open(f"{bucket}/file", "w") as file:
        file.write("half")
        raise RuntimeError("stop")
    assert not fs.exists(f"{bucket}/file")
    with fs.open(f"{bucket}/file", "w", newline="\n") as file:
        file.write("whole\n")
    with fs.open(f"{bucket}/file", "r") as file:
        assert file.read() == "whole\n"


def test_a_file_in_a_directory_that_is_not_there_yet_makes_it(fs, bucket):
    with fs.open(f"{bucket}/new/deeper/file", "wb") as file:
        file.write(b"x")
    assert fs.cat_file(f"{bucket}/new/deeper/file") == b"x"
