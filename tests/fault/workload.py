"""What a training job does to Cairn, and what must be true after any crash.

The workload saves checkpoints one after the other, replaces one name again and again, and removes old ones. It
keeps the model: which commits were acknowledged, which operation was under way. After a crash `check` compares what
the server shows with the model:

- every acknowledged checkpoint is there and whole, byte for byte;
- nothing else is visible, but for the one operation that nobody was answered;
- the name that was replaced holds one version, whole: the last acknowledged or the one under way.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from cairn_harness import MIB, Sdk, SdkError, wait_until  # noqa: E402

# The directory of numbered checkpoints, and the name that is replaced.
RUN = "b/run"
REPLACED = "b/replaced/same"


class Violation(Exception):
    """A promise was broken: what was lost, wrong or visible that should not be."""


class Workload:
    """One job and its model. `seed` decides sizes and the order of operations."""

    def __init__(self, directory, seed):
        self._directory = directory
        self._dice = random.Random(seed)
        self._next_step = 1
        self._sdks = 0
        self.committed = {}      # step: first seed, of acknowledged checkpoints
        self.replaced = None     # the first seed of the acknowledged version
        self._under_way = None   # ("save", step, seed) or ("replace", None, seed) or ("remove", step, None)
        self.acknowledged = 0
        self._sdk = None

    def connect(self, server):
        self.disconnect()
        self._sdks += 1
        self._sdk = Sdk(os.path.join(self._directory, "workload.log"))
        self._sdk.ask("connect", endpoint=server.endpoint, timeout_ms=30000)
        self._sdk.ask("mkdir", path="b")

    def disconnect(self):
        if self._sdk:
            self._sdk.kill()
        self._sdk = None

    # -- the job

    def run_until(self, crashed, max_operations, poll_s=0.05):
        """Runs operations until `crashed()` is true after one of them was cut off, or `max_operations` are done.
        True when the crash came."""
        for _ in range(max_operations):
            self._start_operation()
            if not self._finish_operation(crashed, poll_s):
                return True
        return False

    def _start_operation(self):
        choice = self._dice.random()
        # Lengths around block and stripe borders, and a few stripes.
        size = self._dice.choice([1, 4096, 65536, MIB + 1, 4 * MIB, 6 * MIB + 12345])
        seed = self._dice.randrange(1, 2**40)
        if len(self.committed) > 8 or (choice < 0.2 and len(self.committed) > 3):
            step = min(self.committed)
            self._under_way = ("remove", step, None)
            self._sdk.tell("remove", path=f"{RUN}/step-{step}")
        elif choice < 0.45:
            self._under_way = ("replace", None, seed)
            self._sdk.tell("save", path=REPLACED, world=2, bytes=size, seed=seed)
        else:
            self._under_way = ("save", self._next_step, seed)
            self._sdk.tell("save", path=f"{RUN}/step-{self._next_step}", world=2, bytes=size, seed=seed)
            self._next_step += 1

    def _finish_operation(self, crashed, poll_s):
        """Waits for the answer; false when the server crashed instead."""
        while True:
            try:
                self._sdk.answer(poll_s)
                break
            except TimeoutError:
                if crashed():
                    return False
            except SdkError as error:
                if crashed():
                    return False
                if error.code != "RESOURCE_EXHAUSTED":
                    raise Violation(f"an operation failed on a healthy server: {error}") from error
                # Removed faster than the grace period gives space back: not acknowledged, so it never happened.
                self._under_way = None
                self.wait_reclaimed()
                return True
        kind, step, seed = self._under_way
        if kind == "save":
            self.committed[step] = seed
        elif kind == "replace":
            self.replaced = seed
        else:
            del self.committed[step]
        self._under_way = None
        self.acknowledged += 1
        return True

    # -- the promise

    def check(self, server):
        """Raises Violation, or takes what the server shows as the model to go on from."""
        self.connect(server)
        shown = {checkpoint["step"] for checkpoint in self._list(RUN)}
        kind, step, seed = self._under_way or (None, None, None)
        missing = set(self.committed) - shown - ({step} if kind == "remove" else set())
        if missing:
            raise Violation(f"acknowledged checkpoints are gone: steps {sorted(missing)}")
        extra = shown - set(self.committed) - ({step} if kind == "save" else set())
        if extra:
            raise Violation(f"checkpoints are visible that were never committed or were removed: {sorted(extra)}")
        for each in shown:
            self._check_content(f"{RUN}/step-{each}", [self.committed.get(each, seed)])
        if kind == "save" and step in shown:
            self.committed[step] = seed
        if kind == "remove" and step not in shown:
            del self.committed[step]
        allowed = [self.replaced] + ([seed] if kind == "replace" else [])
        found = self._check_replaced(allowed)
        self.replaced = found
        self._under_way = None

    def _list(self, path):
        try:
            return self._sdk.ask("list", path=path)["checkpoints"]
        except SdkError as error:
            if error.code == "NOT_FOUND":
                return []
            raise Violation(f"{path} cannot be listed: {error}") from error

    def _check_replaced(self, allowed):
        if not self._list("b/replaced"):
            if None not in allowed:
                raise Violation("the replaced checkpoint has vanished")
            return None
        return self._check_content(REPLACED, [seed for seed in allowed if seed is not None])

    def _check_content(self, path, seeds):
        """The checkpoint is whole and is one of those versions; which one."""
        try:
            names = self._sdk.ask("entries", path=path)["names"]
            found = [seed for seed in seeds
                     if sorted(names) == [f"rank{rank}.seed{seed + rank}.bin" for rank in range(2)]]
            if not found:
                raise Violation(f"{path} holds {names}, none of the versions {seeds}")
            self._sdk.ask("verify", path=path)
        except SdkError as error:
            raise Violation(f"{path} is not whole: {error}") from error
        return found[0]

    def check_still_works(self, server):
        """After the check: a save goes through, and space of what is gone comes back."""
        self.connect(server)
        self._start_operation()
        if not self._finish_operation(lambda: not server.running(), 1):
            raise Violation(f"the server ended after its recovery: {server.log()[-1500:]}")

    def wait_reclaimed(self):
        """Waits until nothing removed or abandoned holds space."""
        wait_until(lambda: int(self._sdk.status().get("reclaim_pending_bytes", 0)) == 0, "reclaim is done")
