"""Goal: a network that is cut, also in one direction or for some only, or slow, and nodes that stand still, lose no
committed checkpoint and make no wrong one, and a job goes on saving. Method: six nodes with an address each, a bucket
ec:4+2, a job that saves without a pause; iptables and tc in the nodes' namespaces, SIGSTOP. As root only."""

import unittest

from cairn_cluster import FOUNDER
from cairn_harness import wait_until
from cairn_netns import CLIENT, NetworkTest
from save_loop import SHARD, SaveLoop

# Time is real here: a job may wait for it. The cluster finds a node down in 3 s.
SAVE_LIMIT_S = 40
# A client that alone could not reach a node has groups without it for a minute more, which health tells of.
HEALTHY_S = 110


class Partition(NetworkTest):
    def start(self, nodes=6):
        self.nodes = self.cluster(nodes, settings={"targets": [{"size": "1GiB"}]})
        self.nodes.sdk().ask("bucket", name="coded", redundancy="ec:4+2")

    def job(self, directory="coded/run", ranks=2, **options):
        """A job on the clients' side of the network, saving."""
        return SaveLoop(self.nodes.client(**options), directory, ranks)

    def faulty(self, fault, jobs, during=lambda: None, saves=3):
        """Lets `jobs` save before, during and after a fault, which lasts until `during` has ended, too."""
        for job in jobs:
            job.wait_saves(1)
        fault()
        during()
        for job in jobs:
            job.wait_saves(saves, timeout_s=SAVE_LIMIT_S)
        self.assertGreater(self.network.dropped(), 0, "the fault met nothing")
        self.network.heal()
        for job in jobs:
            job.wait_saves(2, timeout_s=SAVE_LIMIT_S)

    def finish(self, *jobs):
        """All is as it should be: nothing refused, nothing lost, nothing wrong, nothing left over."""
        for job in jobs:
            job.stop()
            self.assertEqual(job.refused, {})
            # By a client that has seen none of it.
            job.check(self, self.nodes.client())
        self.nodes.wait_ready(*self.nodes.servers)
        self.assertEqual(sorted(self.nodes.nodes()), sorted(self.nodes.servers))
        self.wait_healthy(self.nodes, HEALTHY_S)
        self.assert_clean(self.nodes)

    def wait_down(self, *nodes):
        for node in nodes:
            self.nodes.wait_state(node, "NODE_DOWN", timeout_s=15)

    def test_nodes_cut_off_in_both_directions_one_and_two_at_once(self):
        self.start()
        with self.job() as job:
            self.faulty(lambda: self.network.isolate(3), [job], lambda: self.wait_down(3))
            self.nodes.wait_state(3, "NODE_UP", timeout_s=20)

            def two():
                self.network.isolate(4)
                self.network.isolate(6)
            self.faulty(two, [job], lambda: self.wait_down(4, 6))
            self.finish(job)

    def test_a_node_that_hears_and_is_not_heard_and_one_that_is_heard_and_hears_not(self):
        self.start()
        with self.job() as job:
            self.faulty(lambda: self.network.isolate(2, receives=False), [job], lambda: self.wait_down(2))
            self.nodes.wait_state(2, "NODE_UP", timeout_s=20)
            # Its acknowledgements reach the others, and theirs do not reach it.
            self.faulty(lambda: self.network.isolate(5, sends=False), [job], lambda: self.wait_down(5))
            self.finish(job)

    def beside_a_cut_client(self, nodes):
        """Jobs save while one of so many nodes is out of reach for one of them only."""
        self.start(nodes)
        beside = SaveLoop(self.nodes.sdk(2), "coded/beside", ranks=1)
        # One rank: a shard of a client that has not met the silent node yet waits for it some seconds.
        with self.job(ranks=1) as job, beside:
            self.faulty(lambda: self.network.cut(CLIENT, 4), [job, beside], saves=1)
            # Nobody else had anything against it.
            self.assertEqual(self.nodes.state(4), "NODE_UP")
            self.finish(job, beside)

    def test_a_node_that_only_a_client_cannot_reach_and_another_can_stand_in(self):
        self.beside_a_cut_client(7)

    def test_a_node_that_only_a_client_cannot_reach_and_no_other_can_stand_in(self):
        self.beside_a_cut_client(6)

    def test_what_lies_on_a_node_that_only_a_client_cannot_reach_is_read(self):
        self.start()
        for step in (1, 2):
            self.nodes.sdk().ask("save", path=f"coded/run/step-{step}", world=1, bytes=SHARD, seed=step)
        used, late = self.nodes.client(), self.nodes.client()
        used.ask("verify", path="coded/run/step-1")
        self.network.cut(CLIENT, 4)
        for reader in (used, late):
            for step in (1, 2):
                self.assertEqual(reader.ask("verify", path=f"coded/run/step-{step}")["bytes_read"], SHARD)
        self.assertEqual(self.nodes.state(4), "NODE_UP")

    def test_a_storage_node_that_only_the_metadata_node_cannot_reach(self):
        self.start()
        with self.job() as job:
            self.faulty(lambda: self.network.cut(FOUNDER, 4), [job], lambda: self.wait_down(4))
            self.finish(job)

    def test_a_metadata_node_that_a_client_cannot_reach_for_a_while(self):
        self.start()
        hasty = SaveLoop(self.nodes.client(timeout_ms=2000), "coded/hasty")
        with self.job() as job, hasty:
            for each in (job, hasty):
                each.wait_saves(1)
            self.network.cut(CLIENT, FOUNDER)
            # A client whose limit is shorter is told so; one with the usual limit waits for the end of it.
            wait_until(lambda: len(hasty.refused) >= 2, "saves are refused")
            self.network.heal()
            for each in (job, hasty):
                each.wait_saves(2, timeout_s=SAVE_LIMIT_S)
            hasty.stop()
            for path, error in hasty.refused.items():
                self.assertIn(error.code, ("UNAVAILABLE", "DEADLINE_EXCEEDED"), f"{path}: {error}")
            # Whether a commit came through just before the cut, or the answer was lost, a client cannot know.
            hasty.check(self, self.nodes.client(), verify_refused=True)
            self.finish(job)

    def test_a_slow_link_and_a_node_that_stands_still(self):
        self.start()
        with self.job() as job:
            job.wait_saves(1)
            self.network.limit(3, "20mbit")
            job.wait_saves(3, timeout_s=SAVE_LIMIT_S)
            self.network.heal()
            job.wait_saves(1)
            self.nodes.stop(6)
            self.wait_down(6)
            job.wait_saves(3, timeout_s=SAVE_LIMIT_S)
            self.nodes.cont(6)
            job.wait_saves(2, timeout_s=SAVE_LIMIT_S)
            self.finish(job)


if __name__ == "__main__":
    unittest.main()
