"""Goal: an operator restarts every node of a cluster, one after the other, while jobs save, and no save is refused or
lost. Method: six nodes, a bucket ec:4+2, a job that saves without a pause, `cairn node ok-to-stop` before each
SIGTERM, the metadata node among them; then the same with SIGKILL, without asking and without waiting for the
cluster."""

import unittest

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import wait_until
from save_loop import SaveLoop

NODES = 6
REDUNDANCY = "ec:4+2"
SAVE_LIMIT_S = 40


class RollingRestart(ClusterTest):
    def setUp(self):
        super().setUp()
        self.nodes = self.cluster(NODES, settings={"targets": [{"size": "1GiB"}]})
        self.sdk_of_the_job = self.nodes.sdk(2)
        self.sdk_of_the_job.ask("bucket", name="coded", redundancy=REDUNDANCY)

    def job(self):
        return SaveLoop(self.sdk_of_the_job, "coded/run")

    def ok_to_stop(self, node):
        """Whether the cluster has nothing against it that concerns the job. The metadata node and the single copies of
        other buckets are missed while their node is away, which is as it has to be."""
        answer = self.run_cli(self.nodes, "node", "ok-to-stop", str(node), expect=None) or {}
        return "reasons" in answer and not any(REDUNDANCY in reason for reason in answer["reasons"])

    def finish(self, job):
        job.stop()
        self.assertEqual(job.refused, {})
        job.check(self, self.nodes.sdk(3))
        self.assertEqual(sorted(self.nodes.nodes()), list(range(1, NODES + 1)))
        self.wait_healthy(self.nodes)
        self.assert_clean(self.nodes)

    def test_every_node_is_stopped_and_started_while_a_job_saves(self):
        # The metadata node in the middle: jobs have seen both that it was there and that it is another process now.
        order = [2, 3, 4, FOUNDER, 5, 6]
        with self.job() as job:
            for node in order:
                job.wait_saves(1, timeout_s=SAVE_LIMIT_S)
                wait_until(lambda node=node: self.ok_to_stop(node), f"node {node} may be stopped")
                self.assertEqual(self.nodes.servers[node].stop(), 0)
                self.nodes.restart(node)
                self.nodes.wait_ready(node)
            job.wait_saves(2, timeout_s=SAVE_LIMIT_S)
            self.finish(job)

    def test_every_node_is_killed_and_started_at_once_while_a_job_saves(self):
        with self.job() as job:
            for node in [6, FOUNDER, 5, 4, 3, 2]:
                self.nodes.kill(node)
                self.nodes.restart(node)
                # In the middle of whatever it makes of that.
                job.wait_saves(1, timeout_s=SAVE_LIMIT_S)
            self.nodes.wait_ready(*range(1, NODES + 1))
            job.wait_saves(2, timeout_s=SAVE_LIMIT_S)
            self.finish(job)


if __name__ == "__main__":
    unittest.main()
