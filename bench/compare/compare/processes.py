"""Child processes that take one command a line and answer with one line of JSON, and what /proc says of them.

Every process that a comparison starts goes through here, so that all of them are stopped at the end, whatever
happened in between.
"""

import json
import os
import selectors
import signal
import subprocess
import time


class BenchError(Exception):
    """A measurement could not be made; the message says why and what to do."""


def cpu_seconds(pids):
    """User and system seconds that `pids` have used so far, all their threads together."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            # The second field is the command's name in parentheses and may hold spaces.
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_mib(pid, field="VmHWM"):
    """A memory figure of /proc/PID/status; VmHWM is the highest resident size so far."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
    raise BenchError(f"/proc/{pid}/status has no {field}")


class Child:
    """One child process with its own log file for stderr."""

    def __init__(self, command, log_path, env=None):
        self.name = os.path.basename(command[0])
        self.log_path = log_path
        with open(log_path, "ab") as log:
            try:
                self.process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=env,
                    start_new_session=True)
            except OSError as error:
                raise BenchError(f"cannot start {command[0]}: {error.strerror}") from error
        self.pid = self.process.pid
        self._pending = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self.process.stdout, selectors.EVENT_READ)

    def read_line(self, timeout_s):
        """The next line of its output, without the line feed."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise BenchError(f"{self.name} said nothing for {timeout_s:.0f} s; {self.log_tail()}")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                raise BenchError(f"{self.name} ended with {self.process.wait()}; {self.log_tail()}")
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace")

    def tell(self, line):
        """Sends a command without waiting for its answer."""
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise BenchError(f"{self.name} takes no commands any more; {self.log_tail()}") from error

    def answer(self, timeout_s=300):
        """The JSON object it answers with; lines that are none (a library's chatter) are skipped."""
        while True:
            line = self.read_line(timeout_s)
            if not line.startswith("{"):
                continue
            report = json.loads(line)
            if not report.get("ok", False):
                raise BenchError(f"{self.name}: {report.get('error', line)}; {self.log_tail()}")
            return report

    def ask(self, line, timeout_s=300):
        """Sends a command and returns its answer."""
        self.tell(line)
        return self.answer(timeout_s)

    def log_tail(self):
        """Where its log is and how it ends, for error messages."""
        with open(self.log_path, "rb") as log:
            lines = log.read().decode("utf-8", "replace").strip().splitlines()
        return f"its log {self.log_path} ends: " + (" | ".join(lines[-4:]) if lines else "(empty)")

    def stop(self, grace_s=10):
        """Ends the process and what it started: stdin closed, then SIGTERM, then SIGKILL."""
        if self.process.poll() is None:
            for step in (self.process.stdin.close, self._terminate):
                try:
                    step()
                    self.process.wait(grace_s / 2)
                    break
                except (OSError, subprocess.TimeoutExpired):
                    continue
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
        self._selector.close()
        self.process.stdout.close()

    def _terminate(self):
        self.process.send_signal(signal.SIGTERM)


class Group:
    """All children of a comparison, stopped together in the reverse of the order they were started in."""

    def __init__(self):
        self._children = []

    def start(self, command, log_path, env=None):
        child = Child(command, log_path, env)
        self._children.append(child)
        return child

    def stop(self):
        while self._children:
            self._children.pop().stop()
