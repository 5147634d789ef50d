"""What the parts share: a node with mounts of its bucket, programs run under a limit, and telling how far things are.

The node, the mounts and the waiting are those of the end-to-end tests (tests/e2e), which end and remove all they started.
Whoever imports this has set CAIRN_BUILD_DIR and has tests/e2e on its path.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time

from cairn_harness import BUILD_DIR, PATIENCE_S, wait_until
from mount_harness import BUCKET, MountTest

# Logs of the last run; those of the node and the mounts, too, of a part that failed.
LOGS = os.path.join(BUILD_DIR, "tests", "mount-tests")
# How often something that goes on says so.
TELL_EVERY_S = 60
# Of what has no duration of its own, though the machine is slow: only a hang reaches it.
LIMIT_S = 3 * 3600
# Of a program that was asked to end.
END_PATIENCE_S = 60
TAIL_BYTES = 3000


class Failure(Exception):
    """What is wrong, to be told without a stack trace."""


class Missing(Exception):
    """What a part needs is not here; says where it comes from."""


class Place:
    """Where one part works. A context manager: what it started, mounted and wrote is gone at the end."""

    def __init__(self, part):
        self.part = part
        self.logs = os.path.join(LOGS, part)
        self._began = time.monotonic()
        self._commands = 0
        self._test = None
        self._cluster = None

    def __enter__(self):
        shutil.rmtree(self.logs, ignore_errors=True)
        os.makedirs(self.logs)
        self._test = MountTest("setUp")
        self._test.setUp()
        return self

    def __exit__(self, kind, error, trace):
        if kind is not None:
            self._keep_logs()
        self._test.doCleanups()

    @property
    def local(self):
        """A directory of the local disk."""
        return self._test.dir

    def say(self, text):
        print(f"   {time.monotonic() - self._began:6.0f} s  {self.part}: {text}", flush=True)

    def _keep_logs(self):
        for name in os.listdir(self.local):
            if name.endswith(".log"):
                with contextlib.suppress(OSError):
                    shutil.copy(os.path.join(self.local, name), self.logs)

    # ---- the node and its mounts

    def start(self, size):
        """A node with one target of that size, and a bucket."""
        self._cluster = self._test.cluster(1, {"targets": [{"size": size}]})
        self._test.run_cli(self._cluster, "mkdir", BUCKET)

    def mount(self, name, limit_s=LIMIT_S):
        """A mount of the bucket."""
        return self._test.mount(self._cluster, name, limit_s=limit_s)

    def unmount(self, mount):
        if code := mount.unmount():
            raise Failure(f"cairn mount ended with {code}: {mount.log()[-TAIL_BYTES:]}")

    def check_cluster(self):
        """What was removed is free, and the metadata agrees with what the target holds."""
        wait_until(lambda: int(self._cluster.status().get("reclaim_pending_bytes", 0)) == 0, "reclaim is done",
                   10 * PATIENCE_S)
        found = []

        def agrees():
            found[:] = [self._test.run_cli(self._cluster, "fsck", expect=None)]
            return found[0] and not found[0]["findings"] and not found[0]["unreachable_targets"]
        try:
            wait_until(agrees, "fsck finds nothing")
        except AssertionError as late:
            raise Failure(f"{late}: {found}") from None

    # ---- programs

    def run(self, what, command, limit_s=LIMIT_S, cwd=None, expect=(0,), environment=None, look=None):
        """Runs it with its output in a log, which is the result's path. It is to end with a status of `expect`. `look`: called
        with the log's path every minute, for what is to be told then."""
        self._commands += 1
        words = [str(word) for word in command]
        log_path = os.path.join(self.logs, f"{self._commands:02}-{os.path.basename(words[0])}.log")
        with open(log_path, "wb") as log:
            process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=cwd or self.local,
                                       env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
                                       start_new_session=True)
        try:
            code = self._await(process, what, limit_s, lambda: look(log_path) if look else "")
        finally:
            end(process)
        if code not in expect:
            raise Failure(f"{what}: {os.path.basename(words[0])} ended with {code}:\n{tail(log_path)}\nits log: {log_path}")
        return log_path

    def _await(self, process, what, limit_s, look):
        deadline = time.monotonic() + limit_s
        began = time.monotonic()
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"{what}: still running after {limit_s:.0f} s")
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(min(left, TELL_EVERY_S))
            self.say(" ".join(f"{what}: {time.monotonic() - began:.0f} s so far {look()}".split()))

    @contextlib.contextmanager
    def timed(self, what, count=0):
        """Tells how long what is done in it takes, and the rate of so many; what else is to be said is added to the list."""
        began, details = time.monotonic(), []
        yield details
        seconds = time.monotonic() - began
        rate = [f"{count / seconds:.0f} a second"] if count else []
        self.say(", ".join([f"{what}: {seconds:.1f} s", *rate, *details]))


def end(process):
    """Ends a process that run() started, and those of its session; asks it first, so that it can clean up."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        # Who waits for a mount that hangs is gone when that is: later.
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_PATIENCE_S)


def tail(path):
    """The last words of a log."""
    with open(path, "rb") as log:
        log.seek(max(0, os.path.getsize(path) - TAIL_BYTES))
        return log.read().decode("utf-8", "replace").strip()


def needs(program, package):
    """Raises Missing where there is no such program."""
    if not shutil.which(program):
        raise Missing(f"{program} is not installed: apt-get install {package}")
