"""cairn.checkpoint over a handle that answers as it is told, and a clock that moves when it is called."""

import pytest
from cairn import checkpoint
from cairn.errors import Aborted, DeadlineExceeded, Unavailable

INFO = {
    **dict.fromkeys(["step", "attempt", "world_size", "ranks_done", "shard_count", "size_bytes"], 1),
    **dict.fromkeys(["begun", "committed_at"], 0.0),
    **{"path": "b/c", "committed": True, "pinned": False, "job": "", "attributes": {}, "missing_ranks": []},
}


class Clock:
    """What the module knows of `time`."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Handle:
    """Each commit takes its whole slice and ends as `answers` says; the last answer stays."""

    path = "b/c"
    attempt = 1

    def __init__(self, clock, answers):
        self.clock = clock
        self.answers = list(answers)
        self.calls = 0

    def commit(self, timeout):
        self.calls += 1
        self.clock.now += timeout
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is not None:
            raise answer
        return INFO


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(checkpoint, "time", clock)
    return clock


def test_a_commit_outlasts_a_server_that_restarts(clock):
    handle = Handle(clock, [Unavailable("down")] * 5 + [None])
    assert checkpoint.CheckpointWriter(handle, 60.0).commit(600.0).committed
    assert handle.calls == 6


def test_a_commit_gives_up_when_nobody_answered_for_the_client_s_timeout(clock):
    # Ranks that are missing are an answer: the wait for those is the caller's to bound.
    handle = Handle(clock, [DeadlineExceeded("rank 1")] * 10 + [Unavailable("down")])
    with pytest.raises(Unavailable):
        checkpoint.CheckpointWriter(handle, 30.0).commit(600.0)
    assert 150.0 <= clock.now < 156.0, "10 slices, then 30 s"


def test_a_commit_ends_with_its_own_timeout(clock):
    with pytest.raises(Unavailable):
        checkpoint.CheckpointWriter(Handle(clock, [Unavailable("down")]), 60.0).commit(5.0)
    assert clock.now < 106.0
    with pytest.raises(DeadlineExceeded):
        checkpoint.CheckpointWriter(Handle(clock, [DeadlineExceeded("rank 1")]), 60.0).commit(5.0)


def test_a_refusal_ends_a_commit_at_once(clock):
    handle = Handle(clock, [Aborted("superseded")])
    with pytest.raises(Aborted):
        checkpoint.CheckpointWriter(handle, 60.0).commit(600.0)
    assert handle.calls == 1
