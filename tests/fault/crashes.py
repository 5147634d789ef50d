"""The ways to crash a cairnd, each as one cycle: start, work, crash, restart, check.

Used by the short tests beside this file and by the long campaign.
"""

import os
import random
import shutil
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from cairn_harness import PATIENCE_S, Cairnd  # noqa: E402
from volumes import Volume  # noqa: E402
from workload import Violation, Workload  # noqa: E402

# Small, so that space is used again and again, and short leases and grace, so that it comes back in time.
SETTINGS = {
    "targets": [{"size": "640MiB"}], "slab_memory": "64MiB", "lease_ttl_seconds": 2, "reclaim_grace_seconds": 1,
}


def why_no_strace():
    """Why system calls cannot be injected here; None when they can."""
    if shutil.which("strace") is None:
        return "strace is missing: run tools/setup --test"
    # A real injection: containers may forbid ptrace.
    tried = subprocess.run([*injection("exit_group", 1), "true"], capture_output=True, text=True, check=False)
    if tried.returncode != -signal.SIGKILL:
        return f"strace cannot inject signals here: {tried.stderr.strip() or tried.returncode}"
    return None


def injection(call, number):
    """The wrapper that kills a program as it enters the system call `call` for the `number`th time."""
    # Not with --seccomp-bpf, however slow it is without: strace 6.1 then injects nothing on newer kernels, and says so
    # nowhere.
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
            "-e", f"inject={call}:signal=SIGKILL:when={number}"]


class Crasher:
    """One data directory that lives through many crashes."""

    def __init__(self, directory, seed, settings=None):
        self.directory = directory
        self.dice = random.Random(seed)
        self.workload = Workload(directory, seed)
        self.settings = {**SETTINGS, **(settings or {})}
        self.data = os.path.join(directory, "data")
        self._server = None

    def close(self):
        self.workload.disconnect()
        if self._server:
            self._server.kill()
            self._server = None

    def start(self, wrapper=()):
        """A cairnd on the directory; its log is outside, so that a power cut does not take it."""
        self.close()
        self._server = Cairnd(self.data, self.settings, wrapper=wrapper,
                              log_path=os.path.join(self.directory, "cairnd.log"))
        try:
            return self._server.start()
        except RuntimeError as error:
            if wrapper:
                raise
            raise Violation(f"does not start after the crash: {error}") from error

    def enter_cycle(self, number, max_operations=200):
        """Kills at the `number`th io_uring_enter of one of its threads. False when none entered as often. Raises
        Violation when it ended in any other way."""
        try:
            server = self.start(injection("io_uring_enter", number))
            self.workload.connect(server)
            self.workload.run_until(lambda: not server.running(), max_operations)
        except Violation:
            raise
        except Exception as error:  # killed before it was ready, or while the workload connects: both are under test
            try:
                self._server.process.wait(10)  # strace ends a little after what it traces
            except subprocess.TimeoutExpired:
                raise error from None
        crashed = not self._server.running()
        if crashed and self._server.process.wait() != -signal.SIGKILL:
            raise Violation(f"not killed, but ended by itself: {self._server.log()[-1500:]}")
        self.check()
        return crashed

    def kill_cycle(self):
        """Kills at a random moment of a random operation."""
        server = self.start()
        self.workload.connect(server)
        self._work_and_crash(server, server.kill)
        self.check()

    def _work_and_crash(self, server, crash):
        """Whole operations first, then `crash()` while one is under way."""
        self.workload.run_until(lambda: False, self.dice.randrange(0, 8))
        crashed = []

        def crash_now():
            if not crashed:
                crash()
                crashed.append(True)
            return True

        # The first poll that finds no answer crashes: a moment within an operation, drawn at random.
        self.workload.run_until(crash_now, PATIENCE_S * 1000, poll_s=self.dice.uniform(0.0005, 0.03))

    def check(self):
        """Restarts, compares with the model and saves once more."""
        server = self.start()
        self.workload.check(server)
        self.workload.check_still_works(server)
        self.close()


class PowerCrasher(Crasher):
    """The same on a filesystem whose power is cut."""

    def __init__(self, directory, seed, filesystem, settings=None):
        self.volume = Volume(directory, filesystem)
        super().__init__(directory, seed, settings)
        self.data = os.path.join(self.volume.mount_point, "data")

    def remove(self):
        self.close()
        self.volume.remove()

    def cut_cycle(self):
        """Cuts the power at a random moment of a random operation."""
        server = self.start()
        self.workload.connect(server)

        def cut():
            self.volume.cut_power()
            server.kill()

        self._work_and_crash(server, cut)
        self.workload.disconnect()
        self.volume.remount()
        self.check()


def loses_data(crasher, cuts):
    """Cuts until something acknowledged is lost or the server refuses what it finds; the Violation, or None. For the
    control that must fail: a test of durability that cannot fail would prove nothing. Whatever else goes wrong, a
    mount say, is raised."""
    for _ in range(cuts):
        try:
            crasher.cut_cycle()
        except Violation as violation:
            return violation
    return None
