"""cairn.torch.reader without a server: which calls are under way at once, and what planners are handed."""

import io
import mmap
import threading
import types

import pytest
import torch
from cairn.torch import reader
from cairn.torch.reader import _Batch, _Content, _populate, _Read, _run

MIB = 1 << 20


class Files:
    """Files that note which calls are under way. A call ends when another has had every chance to begin."""

    def __init__(self):
        self.lock = threading.Lock()
        self.under_way = []
        self.seen = []  # what was under way as each call began
        self.began = threading.Semaphore(0)

    def open(self, name):
        return types.SimpleNamespace(read_ranges=lambda ranges: self._read(name))

    def _read(self, name):
        with self.lock:
            self.under_way.append(name)
            self.seen.append(sorted(self.under_way))
        self.began.release()
        # Taken once for itself; a second time only where another call begins meanwhile.
        self.began.acquire()
        self.began.acquire(timeout=0.05)
        with self.lock:
            self.under_way.remove(name)


def in_place(name, size=10):
    batch = _Batch(name)
    batch.add(_Read(0, size, target=types.SimpleNamespace(address=0, size_bytes=size)))
    return batch


def buffered(name, size):
    batch = _Batch(name)
    batch.add(_Read(0, size, deliver=lambda memory: None))
    return batch


def test_calls_into_place_follow_each_other():
    files = Files()
    _run(iter([in_place(name) for name in "abcd"]), files)
    assert sorted(files.seen) == [["a"], ["b"], ["c"], ["d"]]  # in any order, one at a time


def test_calls_through_buffers_run_side_by_side():
    files = Files()
    _run(iter([buffered(name, 1000) for name in "abcd"]), files)
    assert max(map(len, files.seen)) > 1


def test_an_item_beyond_the_buffers_goes_alone():
    files = Files()
    _run(iter([buffered("a", 1000), buffered("large", 9 * MIB), buffered("b", 1000), buffered("c", 1000)]), files)
    assert all("large" not in seen or seen == ["large"] for seen in files.seen)
    assert ["large"] in files.seen


def test_what_is_too_large_for_a_batch_begins_another():
    batch = buffered("a", 5 * MIB)
    assert not batch.has_room(_Read(0, 4 * MIB, deliver=print)) and batch.has_room(_Read(0, 2 * MIB, deliver=print))
    assert not buffered("a", 9 * MIB).has_room(_Read(0, 1, deliver=print))


def test_content_reads_like_a_bytesio_and_is_not_a_copy():
    stored = io.BytesIO()
    torch.save({"a": torch.arange(1000), "b": "text"}, stored)
    memory = torch.frombuffer(bytearray(stored.getvalue()), dtype=torch.uint8)
    loaded = torch.load(_Content(memory), weights_only=True)
    assert torch.equal(loaded["a"], torch.arange(1000)) and loaded["b"] == "text"
    one, other = _Content(memory), io.BytesIO(stored.getvalue())
    calls = [("seek", -9, 2), ("read", 4), ("tell",), ("read",), ("read", 5), ("seek", 3), ("readline",), ("getvalue",)]
    for name, *arguments in calls:
        assert getattr(one, name)(*arguments) == getattr(other, name)(*arguments), name
    with pytest.raises(ValueError):
        one.seek(-1)
    memory[0] ^= 255
    assert one.getbuffer()[0] == memory[0]


def test_pages_come_before_the_read_and_keep_what_is_in_them():
    with mmap.mmap(-1, 32 * MIB) as fresh:
        view = memoryview(fresh)
        whole = torch.frombuffer(view, dtype=torch.uint8)
        whole[8 * MIB] = 7
        before = resident_bytes()
        _populate(types.SimpleNamespace(address=whole.data_ptr() + 100, size_bytes=30 * MIB))
        if resident_bytes() - before < 20 * MIB:
            assert reader._libc.madvise(None, 0, reader._MADV_POPULATE_WRITE) != 0, "this kernel knows it"
            pytest.skip("the kernel lacks MADV_POPULATE_WRITE")
        assert whole[8 * MIB] == 7 and whole.sum() == 7
        del whole
        view.release()


def resident_bytes():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE
