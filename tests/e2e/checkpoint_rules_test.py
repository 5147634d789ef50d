"""Goal: a checkpoint is whole or absent, whoever misbehaves: two jobs, stale attempts, missing ranks, shards closed
twice. Method: SDK processes against one cairnd, step by step."""

import time
import unittest

from cairn_harness import CairnTest

MIB = 1024**2


class CheckpointRules(CairnTest):
    def setUp(self):
        super().setUp()
        self.server = self.cairnd(settings={"reclaim_grace_seconds": 1}).start()
        self.one = self.sdk(self.server)
        self.two = self.sdk(self.server)

    def begin(self, sdk, writer, path="b/run/step-1", **options):
        return sdk.ask("begin", id=writer, path=path, **options)

    def write_shard(self, sdk, writer, name, size=MIB):
        sdk.ask("shard", id=writer, shard=name, name=f"{name}.seed5.bin")
        sdk.ask("write", shard=name, bytes=size, seed=5)
        sdk.ask("close", shard=name)

    def test_nothing_is_visible_before_the_commit(self):
        self.begin(self.one, "w", world=1)
        self.write_shard(self.one, "w", "s")
        self.one.ask("done", id="w")
        self.assertEqual(self.two.ask("list", path="b/run")["checkpoints"], [])
        self.assert_refused("NOT_FOUND", "", self.two.ask, "latest", path="b/run")
        self.assert_refused("NOT_FOUND", "", self.two.ask, "stat", path="b/run/step-1/s.seed5.bin")
        self.one.ask("commit", id="w")
        self.assertEqual(self.two.ask("latest", path="b/run")["path"], "b/run/step-1")
        self.assertEqual(self.two.ask("verify", path="b/run/step-1")["bytes_read"], MIB)

    def test_an_older_version_stays_whole_until_the_new_one_commits(self):
        self.one.ask("save", path="b/run/step-1", world=2, bytes=MIB, seed=10)
        self.begin(self.one, "w", world=1)
        self.write_shard(self.one, "w", "s", size=3 * MIB)
        self.one.ask("done", id="w")
        self.assertEqual(self.two.ask("verify", path="b/run/step-1")["bytes_read"], 2 * MIB)
        self.one.ask("commit", id="w")
        self.assertEqual(self.two.ask("verify", path="b/run/step-1")["bytes_read"], 3 * MIB)

    def test_two_live_jobs_on_one_name_refuse_each_other(self):
        self.begin(self.one, "w", world=2, rank=0, job="alpha")
        self.assert_refused(("FAILED_PRECONDITION", "ALREADY_EXISTS", "ABORTED"), "alpha",
                            self.begin, self.two, "w", world=2, rank=1, job="beta")

    def test_a_stale_attempt_is_refused_and_the_newer_commits(self):
        old = self.begin(self.one, "old", world=1)["attempt"]
        self.write_shard(self.one, "old", "s")
        new = self.begin(self.two, "new", world=1, attempt=old + 1)["attempt"]
        self.assertEqual(new, old + 1)
        self.assert_refused(("ABORTED", "FAILED_PRECONDITION"), "attempt", self.one.ask, "done", id="old")
        self.assert_refused(("ABORTED", "FAILED_PRECONDITION"), "attempt",
                            self.one.ask, "commit", id="old", timeout_ms=2000)
        self.write_shard(self.two, "new", "t", size=2 * MIB)
        self.two.ask("done", id="new")
        self.assertEqual(self.two.ask("commit", id="new")["attempt"], new)
        self.assertEqual(self.one.ask("verify", path="b/run/step-1")["bytes_read"], 2 * MIB)
        # Joining an attempt that is over is refused too.
        self.assert_refused(("ABORTED", "FAILED_PRECONDITION"), "attempt",
                            self.begin, self.one, "again", world=1, attempt=old)

    def test_a_rank_that_never_comes_is_named(self):
        self.begin(self.one, "w", world=3, rank=0)
        self.write_shard(self.one, "w", "s")
        self.one.ask("done", id="w")
        refused = self.assert_refused("DEADLINE_EXCEEDED", "", self.one.ask, "commit", id="w", timeout_ms=300)
        self.assertRegex(refused.message, r"\b1\b")
        self.assertRegex(refused.message, r"\b2\b")
        self.assertEqual(self.two.ask("list", path="b/run")["checkpoints"], [])
        writing = self.two.ask("list", path="b/run", writing=1)["checkpoints"]
        self.assertEqual([(c["committed"], c["missing"]) for c in writing], [(False, [1, 2])])

    def test_wrong_world_size_and_rank_are_refused(self):
        self.assert_refused("INVALID_ARGUMENT", "rank", self.begin, self.one, "w", world=2, rank=2)
        self.assert_refused("INVALID_ARGUMENT", "world", self.begin, self.one, "w", world=0)
        self.begin(self.one, "w", world=2, rank=0, attempt=1)
        self.assert_refused(("FAILED_PRECONDITION", "INVALID_ARGUMENT"), "world",
                            self.begin, self.two, "w", world=3, rank=1, attempt=1)

    def test_a_shard_closed_twice_or_after_done_is_refused(self):
        self.begin(self.one, "w", world=1)
        self.write_shard(self.one, "w", "s")
        self.assert_refused("FAILED_PRECONDITION", "", self.one.ask, "close", shard="s")
        self.one.ask("done", id="w")
        self.assert_refused("FAILED_PRECONDITION", "", self.one.ask, "shard", id="w", shard="late",
                            name="late.seed1.bin")

    def test_done_with_an_open_shard_is_refused_and_an_abandoned_one_is_not_there(self):
        self.begin(self.one, "w", world=1)
        self.write_shard(self.one, "w", "kept")
        self.one.ask("shard", id="w", shard="open", name="open.seed5.bin")
        self.one.ask("write", shard="open", bytes=MIB, seed=5)
        self.assert_refused("FAILED_PRECONDITION", "", self.one.ask, "done", id="w")
        self.one.ask("abandon", shard="open")
        self.one.ask("done", id="w")
        self.one.ask("commit", id="w")
        self.assertEqual(self.two.ask("entries", path="b/run/step-1")["names"], ["kept.seed5.bin"])

    def test_an_aborted_attempt_leaves_nothing(self):
        self.begin(self.one, "w", world=1)
        self.write_shard(self.one, "w", "s")
        self.one.ask("abort", id="w", reason="changed my mind")
        self.assertEqual(self.two.ask("list", path="b/run", writing=1)["checkpoints"], [])
        self.assert_refused(("ABORTED", "FAILED_PRECONDITION"), "", self.one.ask, "commit", id="w", timeout_ms=2000)

    def test_retention_keeps_the_last_the_kth_and_the_pinned(self):
        self.one.ask("save", path="b/run/step-1", bytes=1000)
        self.one.ask("pin", path="b/run/step-1")
        self.one.ask("retain", path="b/run", keep_last=2, keep_every=10)
        for step in (5, 10, 15, 20, 25):
            self.one.ask("save", path=f"b/run/step-{step}", bytes=1000)
        # The service prunes in the background, right after the commit.
        deadline = time.monotonic() + 30
        left = None
        while left != [1, 10, 20, 25] and time.monotonic() < deadline:
            left = sorted(c["step"] for c in self.two.ask("list", path="b/run")["checkpoints"])
        self.assertEqual(left, [1, 10, 20, 25])
        for step in left:
            self.two.ask("verify", path=f"b/run/step-{step}")

    def test_latest_is_the_newest_commit_not_the_highest_name(self):
        self.one.ask("save", path="b/run/step-9", bytes=10)
        self.one.ask("save", path="b/run/step-10", bytes=10)
        self.assertEqual(self.two.ask("latest", path="b/run")["path"], "b/run/step-10")
        self.one.ask("save", path="b/run/step-2", bytes=10)
        self.assertEqual(self.two.ask("latest", path="b/run")["path"], "b/run/step-2")


if __name__ == "__main__":
    unittest.main()
