"""Goal: the death or standstill of one process harms no other, and what it held comes back. Method: SIGKILL and
SIGSTOP to clients in the middle of a transfer, and to the server in the middle of a save."""

import signal
import unittest

from cairn_harness import MIB, CairnTest, SdkError, wait_until

# Larger than all slabs (64 MiB), so that a transfer of it is still under way when a part of it has arrived.
LARGE = 160 * MIB
SETTINGS = {"targets": [{"size": "1GiB"}], "lease_ttl_seconds": 2, "reclaim_grace_seconds": 1}


class ProcessFaults(CairnTest):
    def setUp(self):
        super().setUp()
        self.server = self.cairnd(settings=SETTINGS).start()
        self.watcher = self.sdk(self.server)

    def start_transfer(self, sdk, path="b/run/step-1"):
        """Begins a large write and returns once some of it has arrived and before it is complete."""
        sdk.ask("begin", id="w", path=path, world=1)
        sdk.ask("shard", id="w", shard="s", name="s.seed1.bin")
        before = self.written()
        sdk.tell("write", shard="s", bytes=LARGE, seed=1)
        wait_until(lambda: self.written() > before, "the first bytes arrive")

    def start_read(self, sdk):
        """Begins to read b/large.seed1 and returns once some of it is on its way."""
        before = self.watcher.counter("cairn_target_read_bytes_total")
        sdk.tell("get", path="b/large.seed1")
        wait_until(lambda: self.watcher.counter("cairn_target_read_bytes_total") > before, "the first bytes leave")

    def written(self):
        return self.watcher.counter("cairn_target_written_bytes_total")

    def wait_all_returned(self):
        """All slabs are free and nothing but what is committed holds space."""
        def returned():
            status = self.watcher.status()
            used = sum(int(target.get("used_bytes", 0)) for target in status["map"]["targets"])
            return (status["slabs"] == status.get("slabs_free") and int(status.get("open_attempts", 0)) == 0
                    and used == 0)
        wait_until(returned, "slabs and space come back")

    def held_slabs(self):
        status = self.watcher.status()
        return int(status["slabs"]) - int(status.get("slabs_free", 0))

    def stop_with_slabs(self, start):
        """A client stopped in the transfer that `start` begins, with slabs that wait for it; others go on meanwhile.
        Tried again when the signal came just between two fragments."""
        for _ in range(20):
            victim = self.sdk(self.server, timeout_ms=20000)
            start(victim)
            victim.signal(signal.SIGSTOP)
            # When these are answered, every slab that did not wait for the stopped one is back.
            self.assert_serves_others()
            if self.held_slabs() > 0:
                return victim
            victim.kill()
        self.fail("twenty clients stopped in the middle of a transfer, and none held a slab")

    def assert_serves_others(self):
        self.watcher.ask("save", path="b/other/step-1", world=2, bytes=20 * MIB)
        self.watcher.ask("verify", path="b/other/step-1")
        self.watcher.ask("remove", path="b/other/step-1")

    def test_a_client_killed_while_writing(self):
        victim = self.sdk(self.server)
        self.start_transfer(victim)
        victim.kill()
        self.assert_serves_others()
        self.wait_all_returned()
        self.assertEqual(self.watcher.ask("list", path="b/run", writing=1)["checkpoints"], [])

    def test_a_client_stopped_while_writing(self):
        victim = self.stop_with_slabs(self.start_transfer)
        # Its lease ends, so its space comes back although the process still stands; the slabs are the NIC's until then.
        wait_until(lambda: int(self.watcher.status().get("open_attempts", 0)) == 0, "the lease of the stopped ends")
        self.assert_serves_others()
        self.assertGreater(self.held_slabs(), 0)
        victim.signal(signal.SIGCONT)
        # Whatever it tries now, it is told; its attempt is over.
        with self.assertRaises(SdkError) as refused:
            victim.answer()
            victim.ask("close", shard="s")
            victim.ask("done", id="w")
            victim.ask("commit", id="w", timeout_ms=5000)
        self.assertIn(refused.exception.code, ("ABORTED", "FAILED_PRECONDITION", "UNAVAILABLE", "DEADLINE_EXCEEDED"))
        self.wait_all_returned()

    def test_a_client_killed_after_it_was_stopped_while_writing(self):
        victim = self.stop_with_slabs(self.start_transfer)
        victim.kill()
        self.wait_all_returned()
        self.assert_serves_others()
        self.assertEqual(self.watcher.ask("list", path="b/run", writing=1)["checkpoints"], [])

    def test_a_client_stopped_while_reading(self):
        self.watcher.ask("put", path="b/large.seed1", bytes=LARGE, seed=1)
        victim = self.stop_with_slabs(self.start_read)
        victim.signal(signal.SIGCONT)
        try:
            self.assertEqual(victim.answer()["bytes"], LARGE)
        except SdkError as error:
            self.assertIn(error.code, ("UNAVAILABLE", "DEADLINE_EXCEEDED"))
        self.watcher.ask("remove", path="b/large.seed1")
        self.wait_all_returned()

    def test_a_client_killed_after_it_was_stopped_while_reading(self):
        self.watcher.ask("put", path="b/large.seed1", bytes=LARGE, seed=1)
        victim = self.stop_with_slabs(self.start_read)
        victim.kill()
        wait_until(lambda: self.held_slabs() == 0, "the slabs of the killed come back")
        self.watcher.ask("get", path="b/large.seed1")
        self.watcher.ask("remove", path="b/large.seed1")
        self.wait_all_returned()

    def test_a_client_killed_while_reading(self):
        self.watcher.ask("put", path="b/large.seed1", bytes=LARGE, seed=1)
        victim = self.sdk(self.server)
        self.start_read(victim)
        victim.kill()
        self.assert_serves_others()
        self.watcher.ask("get", path="b/large.seed1")
        self.watcher.ask("remove", path="b/large.seed1")
        self.wait_all_returned()

    def restart_server(self):
        """The same node again, at the same endpoint."""
        return self.cairnd(settings=SETTINGS, listen=self.server.endpoint).start()

    def test_the_server_killed_between_write_and_close(self):
        writer = self.sdk(self.server)
        writer.ask("begin", id="w", path="b/run/step-1", world=1)
        writer.ask("shard", id="w", shard="s", name="s.seed1.bin")
        writer.ask("write", shard="s", bytes=40 * MIB, seed=1)
        self.server.kill()
        self.restart_server()
        # What was written and not sealed is gone; the SDK writes it again from the caller's memory.
        writer.ask("close", shard="s")
        writer.ask("done", id="w")
        writer.ask("commit", id="w")
        self.assertEqual(self.watcher.ask("verify", path="b/run/step-1")["bytes_read"], 40 * MIB)

    def test_the_server_killed_in_the_middle_of_a_write(self):
        writer = self.sdk(self.server)
        self.start_transfer(writer)
        self.server.kill()
        self.restart_server()
        try:
            writer.answer()
            writer.ask("close", shard="s")
            writer.ask("done", id="w")
            writer.ask("commit", id="w")
        except SdkError as error:
            self.assertIn(error.code, ("UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED"), error.message)
            self.assertEqual(self.watcher.ask("list", path="b/run")["checkpoints"], [])
        else:
            self.assertEqual(self.watcher.ask("verify", path="b/run/step-1")["bytes_read"], LARGE)
        self.assert_serves_others()

    def test_the_server_killed_between_done_and_commit(self):
        writer = self.sdk(self.server)
        writer.ask("begin", id="w", path="b/run/step-1", world=1)
        writer.ask("shard", id="w", shard="s", name="s.seed1.bin")
        writer.ask("write", shard="s", bytes=5 * MIB, seed=1)
        writer.ask("close", shard="s")
        writer.ask("done", id="w")
        self.server.kill()
        self.restart_server()
        writer.ask("commit", id="w")
        self.assertEqual(self.watcher.ask("verify", path="b/run/step-1")["bytes_read"], 5 * MIB)

    def test_a_server_that_does_not_come_back_is_an_error_in_time(self):
        writer = self.sdk(self.server, timeout_ms=3000)
        self.start_transfer(writer)
        self.server.kill()
        self.assert_refused(("UNAVAILABLE", "DEADLINE_EXCEEDED"), "", self.finish_write, writer)

    def finish_write(self, writer):
        """A write returns when the SDK has taken it, so its failure may show at the close."""
        writer.answer()
        writer.ask("close", shard="s")

    def test_a_reader_goes_on_after_a_restart(self):
        self.watcher.ask("put", path="b/f.seed1", bytes=30 * MIB, seed=1)
        reader = self.sdk(self.server)
        reader.ask("get", path="b/f.seed1")
        self.server.stop()
        self.restart_server()
        reader.ask("get", path="b/f.seed1")


if __name__ == "__main__":
    unittest.main()
