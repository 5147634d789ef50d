"""A job that saves one checkpoint after the other while a test does harm to the cluster, and remembers what it was
told of each: so that afterwards every acknowledged one can be read back and nothing else is there."""

import threading

from cairn_harness import MIB, PATIENCE_S, SdkError, wait_until

# A stripe of ec:4+2 that is not full, for each rank.
SHARD = 5 * MIB + 12345
RANKS = 2
# A job computes between its saves; here it leaves the machine to the cluster, and less to be read back.
PACE_S = 0.3
# The SDK's own limit for a call is a minute; a save makes several.
ANSWER_S = 3 * PATIENCE_S


class SaveLoop:
    """Saves DIRECTORY/step-N on a thread of its own, from the SDK process `sdk` that nobody else uses meanwhile."""

    def __init__(self, sdk, directory, ranks=RANKS):
        self._sdk = sdk
        self._directory = directory
        self._ranks = ranks
        self._step = 0
        self._stopping = threading.Event()
        self._broken = None
        self.acknowledged = []  # paths
        self.refused = {}  # path: SdkError
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def _run(self):
        while not self._stopping.wait(PACE_S):
            self._step += 1
            path = f"{self._directory}/step-{self._step}"
            try:
                self._sdk.ask("save", path=path, world=self._ranks, bytes=SHARD, seed=100 * self._step,
                              timeout_s=ANSWER_S)
                self.acknowledged.append(path)
            except SdkError as error:
                self.refused[path] = error
            except Exception as error:  # of the test's own: whoever waits is told
                self._broken = error
                return

    def wait_saves(self, count, timeout_s=PATIENCE_S):
        """Waits until so many saves that begin from now on have been acknowledged."""
        # The one under way began before.
        wanted = len(self.acknowledged) + count + 1

        def saved():
            if self._broken:
                raise self._broken
            return len(self.acknowledged) >= wanted
        wait_until(saved, f"{count} more saves; refused: {self.refused}", timeout_s)

    def stop(self):
        """Waits for the save under way. Raises what broke the loop, if anything did."""
        self._stopping.set()
        self._thread.join(ANSWER_S)
        if self._thread.is_alive():
            raise AssertionError(f"a save did not end within {ANSWER_S} s")
        if self._broken:
            raise self._broken

    def check(self, test, sdk, verify_refused=False):
        """Has another SDK process read all of it: each acknowledged checkpoint is there bit for bit, and no other.

        `verify_refused`: a save that was refused because nobody answered may have been committed all the same; then
        it must be whole.
        """
        committed = {entry["path"] for entry in sdk.ask("list", path=self._directory)["checkpoints"]}
        test.assertEqual(set(self.acknowledged) - committed, set(), "acknowledged, and not there")
        unknown = committed - set(self.acknowledged) - (set(self.refused) if verify_refused else set())
        test.assertEqual(unknown, set(), "there, and not acknowledged")
        for path in sorted(committed):
            test.assertEqual(sdk.ask("verify", path=path, timeout_s=ANSWER_S)["bytes_read"],
                             self._ranks * SHARD)
