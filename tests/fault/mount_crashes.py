"""A cluster with two mounts, the hammer at work in it, and the ways to disturb that: mounts, the server and the hammer's
processes killed, the power cut. The hammer (tests/e2e/hammer) knows what must be there after each.

Used by the short test beside this file and by mount_campaign.
"""

import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from cairn_harness import PATIENCE_S, Cairnd, LineReader, free_port, program, wait_until  # noqa: E402
from mount_harness import BUCKET, Mount, why_unavailable  # noqa: E402
from volumes import Volume  # noqa: E402
from workload import Violation  # noqa: E402

# Small, so that space is used again and again, and a short grace, so that it comes back in time.
SETTINGS = {"targets": [{"size": "640MiB"}], "slab_memory": "64MiB", "reclaim_grace_seconds": 1}
MOUNTS = 2
SDK_VIEW = MOUNTS
CHECK_PATIENCE_S = 10 * PATIENCE_S

__all__ = ["MountCrasher", "Violation", "why_unavailable"]


class Hammer:
    """mount_hammer under control. Whatever it says unasked is a violation."""

    def __init__(self, mounts, source, log_path, options):
        command = [program("mount_hammer"), "--controlled", "--sdk", source, *options,
                   *[os.path.join(mount.mountpoint, "tree") for mount in mounts]]
        self._log_path = log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                            start_new_session=True)
        self._reader = LineReader(self.process.stdout)
        self.told = self._answer(PATIENCE_S)

    def _answer(self, timeout_s):
        line = self._reader.read(timeout_s)
        if line is None:
            self.process.wait(PATIENCE_S)
            with open(self._log_path, encoding="utf-8", errors="replace") as log:
                raise Violation(log.read()[-3000:].strip() or f"the hammer ended with {self.process.returncode}")
        answer = json.loads(line)
        if not answer["ok"]:
            raise Violation(answer["error"])
        return answer

    def ask(self, command, timeout_s=PATIENCE_S):
        self.process.stdin.write(command.encode() + b"\n")
        self.process.stdin.flush()
        self.told = self._answer(timeout_s)

    def let_work(self, seconds):
        """For so long, or until it finds something."""
        try:
            self._answer(seconds)
        except TimeoutError:
            return
        raise Violation("the hammer says something unasked")

    def stop(self):
        """Checks everything, and has ended: its processes have nothing open any more."""
        self.ask("stop", CHECK_PATIENCE_S)
        self.process.wait(CHECK_PATIENCE_S)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        self.process.stdin.close()
        self._reader.close()


class MountCrasher:
    """One data directory, on a filesystem of its own where one is named, that lives through many crashes."""

    KINDS = ("mount", "server", "client")

    def __init__(self, directory, seed, filesystem=None, processes=6, limit_s=PATIENCE_S * 5):
        self._directory, self._limit_s = directory, limit_s
        self.dice = random.Random(seed)
        self.events = dict.fromkeys([*self.KINDS, "cut"], 0)
        self._volume = Volume(directory, filesystem) if filesystem else None
        data = os.path.join(self._volume.mount_point if filesystem else directory, "data")
        self._server = Cairnd(data, SETTINGS, listen=f"127.0.0.1:{free_port()}",
                              log_path=os.path.join(directory, "cairnd.log"))
        self._mounts, self.hammer = [], None
        try:
            self._server.start()
            self.cli("mkdir", BUCKET)
            # The configuration lies on the volume, too, and is nobody's to sync.
            os.sync()
            self._mounts = [self._new_mount(number) for number in range(MOUNTS)]
            for mount in self._mounts:
                mount.start()
            # Before a cut, only what was synced has been promised.
            options = ["--seed", str(seed), "--processes", str(processes),
                       "--syncing", "always" if filesystem else "sometimes"]
            self.hammer = Hammer(self._mounts, f"{self._server.endpoint}:/{BUCKET}/tree",
                                 os.path.join(directory, "hammer.log"), options)
        except BaseException:
            self.close()
            raise

    def _new_mount(self, number):
        return Mount(self._server.endpoint, os.path.join(self._directory, f"mnt-{number}"), BUCKET, limit_s=self._limit_s,
                     arguments=["--attr-timeout", "0s"])

    def cli(self, *arguments):
        done = subprocess.run([program("cairn"), "--endpoint", self._server.endpoint, "--output", "json", *arguments],
                              capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False)
        return json.loads(done.stdout) if done.stdout.strip() else None

    def close(self):
        if self.hammer:
            self.hammer.close()
        for mount in self._mounts:
            mount.remove()
        self._server.kill()
        if self._volume:
            self._volume.remove()

    # -- crashes

    def crash(self, kind, work_s):
        """One crash of that kind after some work."""
        self.hammer.let_work(self.dice.uniform(0.2, work_s))
        self.events[kind] += 1
        getattr(self, f"_kill_{kind}")()

    def _kill_mount(self):
        number = self.dice.randrange(MOUNTS)
        self.hammer.ask(f"down {number}")
        self._mounts[number].kill()
        if self.dice.random() < 0.5:
            # Else the next one finds it dead, and takes its place.
            self._mounts[number].remove()
        self.hammer.let_work(self.dice.uniform(0.1, 1))
        self._mounts[number] = self._new_mount(number).start()
        self.hammer.ask(f"up {number}")

    def _kill_server(self):
        self._server.kill()
        self.hammer.let_work(self.dice.uniform(0.1, 2))
        self._start_server()

    def _kill_client(self):
        self.hammer.ask("kill", CHECK_PATIENCE_S)

    def _kill_cut(self):
        """The machine with everything on it but the hammer: what mounts had in memory goes, too."""
        for number in range(MOUNTS + 1):
            self.hammer.ask(f"down {number}")
        self._volume.cut_power()
        self._server.kill()
        for mount in self._mounts:
            mount.kill()
            mount.remove()
        self._volume.remount()
        self._start_server()
        self._mounts = [self._new_mount(number).start() for number in range(MOUNTS)]
        for number in range(MOUNTS + 1):
            self.hammer.ask(f"up {number}")

    def _start_server(self):
        try:
            self._server.start()
        except RuntimeError as error:
            raise Violation(f"does not start after the crash: {error}") from error

    # -- promises

    def check(self):
        """All that was promised is there, by every way to it."""
        self.hammer.ask("check", CHECK_PATIENCE_S)

    def finish(self):
        """The same, and unmounting works, and the cluster agrees with itself."""
        self.hammer.stop()
        for mount in self._mounts:
            if code := mount.unmount():
                raise Violation(f"a mount ended with {code}: {mount.log()[-1500:]}")

        def clean():
            found = self.cli("fsck")
            return found and not found["findings"] and not found["unreachable_targets"]
        try:
            wait_until(clean, "fsck finds nothing")
        except AssertionError as late:
            raise Violation(f"{late}: {self.cli('fsck')}") from None
