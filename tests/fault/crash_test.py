"""Goal: a cairnd killed at any moment loses nothing acknowledged and shows nothing else. Method: SIGKILL as it
enters io_uring_enter for the n-th time (strace injection), n growing from the first of the start over several saves,
and at random moments; the campaign beside this file takes every number."""

import os
import random
import unittest

import crashes
from cairn_harness import CairnTest


class Crash(CairnTest):
    def crasher(self):
        seed = int(os.environ.get("CAIRN_TEST_SEED") or random.SystemRandom().randrange(2**32))
        print(f"CAIRN_TEST_SEED={seed}", flush=True)
        crasher = crashes.Crasher(self.dir, seed)
        self.addCleanup(crasher.close)
        return crasher

    def test_killed_at_the_nth_io_uring_enter(self):
        reason = crashes.why_no_strace()
        if reason:
            self.skipTest(reason)
        crasher = self.crasher()
        # The first ones are the start's; a save enters some tens of times, so the later strides step through a few
        # saves at ever other places.
        numbers = [*range(1, 8), *range(9, 60, 5), *range(67, 240, 23)]
        killed = [number for number in numbers if crasher.enter_cycle(number)]
        self.assertEqual(killed, numbers)

    def test_killed_at_random_moments(self):
        crasher = self.crasher()
        for _ in range(12):
            crasher.kill_cycle()
        self.assertGreater(crasher.workload.acknowledged, 0)


if __name__ == "__main__":
    unittest.main()
