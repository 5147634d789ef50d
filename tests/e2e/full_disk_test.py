"""Goal: a full target is a clear error, what is stored stays readable, and space comes back. Method: a target of a
few dozen MiB."""

import unittest

from cairn_harness import MIB, CairnTest, SdkError, wait_until


class FullDisk(CairnTest):
    def setUp(self):
        super().setUp()
        settings = {"targets": [{"size": "96MiB"}], "lease_ttl_seconds": 2, "reclaim_grace_seconds": 1}
        self.server = self.cairnd(settings=settings).start()
        self.one = self.sdk(self.server, timeout_ms=20000)
        self.one.ask("save", path="b/run/step-1", bytes=40 * MIB)

    def saves(self, path, size):
        try:
            self.one.ask("save", path=path, bytes=size)
            return True
        except SdkError as error:
            self.assertEqual(error.code, "RESOURCE_EXHAUSTED", error.message)
            return False

    def test_a_save_that_does_not_fit_is_refused_and_its_space_comes_back(self):
        self.one.ask("begin", id="w", path="b/run/step-2", world=1)
        self.one.ask("shard", id="w", shard="s", name="s.seed1.bin")
        refused = self.assert_refused("RESOURCE_EXHAUSTED", "", self.write_and_close, 80 * MIB)
        self.assertRegex(refused.message.lower(), "full|free")
        self.one.ask("verify", path="b/run/step-1")
        self.assertEqual(len(self.one.ask("list", path="b/run")["checkpoints"]), 1)
        self.one.ask("abort", id="w")
        wait_until(lambda: self.saves("b/run/step-3", 40 * MIB), "the aborted attempt's space comes back")
        self.one.ask("verify", path="b/run/step-3")
        self.one.ask("verify", path="b/run/step-1")

    def write_and_close(self, size):
        self.one.ask("write", shard="s", bytes=size, seed=1)
        self.one.ask("close", shard="s")

    def test_removing_makes_room(self):
        self.assertFalse(self.saves("b/run/step-2", 80 * MIB))
        self.one.ask("remove", path="b/run/step-1")
        wait_until(lambda: self.saves("b/run/step-3", 80 * MIB), "the removed checkpoint's space comes back")
        self.one.ask("verify", path="b/run/step-3")

    def test_filled_and_emptied_many_times(self):
        self.one.ask("remove", path="b/run/step-1")
        for step in range(10, 16):
            path = f"b/run/step-{step}"
            wait_until(lambda path=path: self.saves(path, 70 * MIB), "the space of the one before comes back")
            self.one.ask("verify", path=path)
            self.one.ask("remove", path=path)


if __name__ == "__main__":
    unittest.main()
