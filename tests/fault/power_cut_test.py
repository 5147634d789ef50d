"""Goal: what was acknowledged survives a power cut, on ext4 and on XFS. Method: filesystems in a file whose power
is cut by FS_IOC_SHUTDOWN in the middle of the work; and a control that never flushes, in which the same cuts must
lose data, or the test would prove nothing. Needs root and loop devices; says so where it has not."""

import os
import random
import unittest

import crashes
import volumes
from cairn_harness import CairnTest


class PowerCut(CairnTest):
    def crasher(self, filesystem, settings=None):
        reason = volumes.why_unavailable(filesystem)
        if reason:
            self.skipTest(reason)
        seed = int(os.environ.get("CAIRN_TEST_SEED") or random.SystemRandom().randrange(2**32))
        print(f"CAIRN_TEST_SEED={seed}", flush=True)
        crasher = crashes.PowerCrasher(self.dir, seed, filesystem, settings)
        self.addCleanup(crasher.remove)
        return crasher

    def survives(self, filesystem):
        crasher = self.crasher(filesystem)
        for _ in range(5):
            crasher.cut_cycle()
        self.assertGreater(crasher.workload.acknowledged, 0)

    def test_nothing_acknowledged_is_lost_on_ext4(self):
        self.survives("ext4")

    def test_nothing_acknowledged_is_lost_on_xfs(self):
        self.survives("xfs")

    def loses(self, filesystem):
        crasher = self.crasher(filesystem, {"unsafe_no_sync": True})
        violation = crashes.loses_data(crasher, 10)
        self.assertIsNotNone(violation, "ten power cuts without a single flush lost nothing: the cuts are not real")
        print(f"the control lost, as it must: {violation}", flush=True)

    def test_the_control_without_flushes_loses_data_on_ext4(self):
        self.loses("ext4")

    def test_the_control_without_flushes_loses_data_on_xfs(self):
        self.loses("xfs")


if __name__ == "__main__":
    unittest.main()
