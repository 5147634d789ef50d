"""What Python hands to the SDK by mistake, and what a child process inherits: an error in words, and soon."""

import subprocess
import sys
import time

import cairn
import pytest
import torch
from cairn.torch import load

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize(
    "numbers",
    [{"world_size": -1}, {"rank": -1}, {"attempt": -1}, {"step": -1}, {"world_size": 1 << 32}, {"rank": 1 << 70}],
)
def test_numbers_out_of_bounds_are_invalid(client, bucket, numbers):
    with pytest.raises(cairn.InvalidArgument, match=next(iter(numbers))):
        client.begin_checkpoint(f"{bucket}/step-1", **numbers)


def test_rules_out_of_bounds_are_invalid(client, bucket):
    with pytest.raises(cairn.InvalidArgument, match="keep_last"):
        client.set_retention(bucket, cairn.RetentionPolicy(keep_last=-1))


def test_ranges_that_cannot_be_are_refused_before_memory_is_taken(client, bucket):
    client.put(f"{bucket}/file", b"0123456789")
    with client.open(f"{bucket}/file") as file:
        for offset, length in ((0, 1 << 60), (0, 1 << 70), (5, 6), (11, 1), (0, -1), (1 << 62, 1 << 62)):
            with pytest.raises(cairn.OutOfRange):
                file.read(offset, length)
        for call in (lambda: file.read(-1), lambda: file.read(-1, 1), lambda: file.read(1 << 64, 0)):
            with pytest.raises(cairn.InvalidArgument):
                call()
        with pytest.raises(cairn.InvalidArgument):
            file.readinto(bytearray(1), -1)
        with pytest.raises(cairn.InvalidArgument):
            file.read_ranges([(0, bytearray(1)), (-3, bytearray(1))])
        assert file.read(4, 6) == b"456789" and file.read(10) == b"" and file.read(11) == b""


def test_a_wrong_endpoint_costs_a_load_seconds():
    begin = time.monotonic()
    # PyTorch's CheckpointException is no Exception.
    with pytest.raises(BaseException, match="127.0.0.1:1"):
        load({"a": torch.zeros(3)}, "bucket/step-1", endpoint="127.0.0.1:1")
    assert time.monotonic() - begin < 30, "once the 5 s of a connection, not twice the 60 s of a call"


FORK = """
import fsspec, gc, os, sys, threading
fs = fsspec.filesystem("cairn", endpoint=sys.argv[1])
binary = fs.open(sys.argv[2] + "/binary", "wb")
binary.write(b"x" * (9 << 20))
text = fs.open(sys.argv[2] + "/text", "w")
text.write("x" * 1000)
child = os.fork()
if child == 0:
    del binary, text
    gc.collect()
    sys.stderr.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
binary.close()
text.close()
"""


def test_a_child_forgets_the_files_of_its_parent_in_silence(client, endpoint, bucket):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, endpoint, bucket], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and done.stderr == ""
    assert client.stat(f"{bucket}/binary").size_bytes == 9 << 20
    assert client.get(f"{bucket}/text") == b"x" * 1000
