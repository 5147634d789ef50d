"""Goal: nodes that die under a training job do not disturb it: it ends as if nothing had been, bit for bit, and what
it saved outlives their loss. Method: client/examples/train on two ranks and six nodes with ec:4+2; two nodes are
killed while the first checkpoint is being saved, removed after the job, and replaced by empty ones."""

import json
import os
import signal
import subprocess
import unittest

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import BUILD_DIR, ROOT, program, wait_until

PYTHON = os.path.join(ROOT, "build", "venv", "bin", "python")
MODULES = os.path.join(BUILD_DIR, "python")
TRAIN = os.path.join(ROOT, "client", "examples", "train", "train.py")
RANKS = 2
STEPS = 12
SAVE_EVERY = 3
# A loaded machine imports PyTorch for a minute.
JOB_LIMIT_S = 240


def why_no_training():
    """Why the job cannot run here; None when it can."""
    if not os.path.isdir(os.path.join(MODULES, "cairn")):
        return "this build has no Python SDK (CAIRN_PYTHON is off)"
    if not os.path.exists(PYTHON):
        return "build/venv, which has PyTorch, is missing: tools/venv makes it"
    if not os.path.exists(program("cairn")):
        return "this build has no command line (CAIRN_CLI is off)"
    return None


class Job:
    """torchrun with its ranks, in a session of its own."""

    def __init__(self, directory, name, checkpoints, endpoint):
        self.events_path = os.path.join(directory, f"{name}.events")
        self.log_path = os.path.join(directory, f"{name}.log")
        environment = {**os.environ, "PYTHONPATH": MODULES, "CAIRN_ENDPOINT": endpoint, "OMP_NUM_THREADS": "1"}
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS), TRAIN,
                 "--checkpoints", checkpoints, "--steps", str(STEPS), "--save-every", str(SAVE_EVERY),
                 "--layers", "2", "--events", self.events_path],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def kill(self):
        # Ranks have sessions of their own, and end when torchrun has told them to.
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(JOB_LIMIT_S)

    def events(self, kind):
        """What rank 0 has logged so far."""
        if not os.path.exists(self.events_path):
            return []
        with open(self.events_path, encoding="utf-8") as lines:
            # The last one may be half written.
            whole = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in whole if event["event"] == kind]

    def losses(self):
        """Of each step, every bit of it."""
        return {event["step"]: event["loss_hex"] for event in self.events("step")}

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()[-4000:]


class TrainingCluster(ClusterTest):
    def setUp(self):
        reason = why_no_training()
        if reason:
            self.skipTest(reason)
        super().setUp()
        self.nodes = self.cluster(6)
        self.nodes.sdk().ask("bucket", name="lm", redundancy="ec:4+2")

    def start(self, name, checkpoints):
        job = Job(self.dir, name, checkpoints, self.nodes.servers[FOUNDER].endpoint)
        self.addCleanup(job.kill)
        return job

    def wait_end(self, job):
        self.assertEqual(job.process.wait(JOB_LIMIT_S), 0, job.log())

    def steps_saved(self, checkpoints):
        """Steps of the committed checkpoints; the CLI reads every byte of each."""
        found = self.run_cli(self.nodes, "ckpt", "ls", checkpoints)
        for checkpoint in found:
            self.run_cli(self.nodes, "ckpt", "verify", checkpoint["path"])
        return [checkpoint["step"] for checkpoint in found]

    def test_two_of_six_nodes_die_at_the_first_save_and_are_replaced(self):
        undisturbed = self.start("undisturbed", "lm/undisturbed")
        self.wait_end(undisturbed)
        expected = undisturbed.losses()
        self.assertEqual(sorted(expected), list(range(1, STEPS + 1)))

        job = self.start("job", "lm/run")
        wait_until(lambda: job.events("save begun") or job.process.poll() is not None, "the first save begins")
        for node in (3, 5):
            self.nodes.kill(node)
        self.assertEqual(job.events("save"), [], "the first save was over before the nodes died")
        self.wait_end(job)
        self.assertEqual(job.losses(), expected)
        self.assertEqual([save["failed"] for save in job.events("save")], [""] * (STEPS // SAVE_EVERY))
        self.assertEqual(self.steps_saved("lm/run"), list(range(SAVE_EVERY, STEPS + 1, SAVE_EVERY)))

        for node in (3, 5):
            self.nodes.wait_state(node, "NODE_DOWN")
            self.run_cli(self.nodes, "node", "rm", str(node), "--yes", "--force")
        for _ in range(2):
            self.nodes.add()
        self.wait_gone(self.nodes, 3, 5)
        self.wait_settled(self.nodes)
        self.wait_healthy(self.nodes)
        # At once, as an operator would: what moves have left behind and will be freed in a moment is no finding.
        found = self.run_cli(self.nodes, "fsck")
        self.assertEqual((found["findings"], found["unreachable_targets"]), ([], []))
        self.assertGreater(found["stripes"], 0)
        self.assert_clean(self.nodes, "scrub")

        # Nodes that were there at the time of the save are missing now: its bytes are on the new ones, too.
        for node in (2, 4):
            self.nodes.kill(node)
        self.assertEqual(len(self.steps_saved("lm/run")), STEPS // SAVE_EVERY)


if __name__ == "__main__":
    unittest.main()
