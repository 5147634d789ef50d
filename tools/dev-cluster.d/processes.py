"""Processes that outlive the command that started them, and are found again without mistaking a stranger for one.

A process id is used again after its process has ended. With the time of its start, and the boot that time counts
from, it names one process for good; signals go through a pidfd, which cannot come to mean another one in between.
"""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def boot_id() -> str:
    """Names this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on, the state; empty when there is no such process."""
    try:
        # The command, in parentheses, may hold spaces.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


@dataclass(frozen=True)
class Process:
    """One process, for good."""

    pid: int
    start_ticks: int  # since boot: field 22 of /proc/PID/stat
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Process | None":
        """The process that has this id now."""
        fields = _stat(pid)
        return cls(pid, int(fields[19]), boot_id()) if fields else None

    def state(self) -> str:
        """One of running, stopped (SIGSTOP), gone. What nobody has waited for yet is gone, too."""
        fields = _stat(self.pid)
        if not fields or int(fields[19]) != self.start_ticks or self.boot != boot_id() or fields[0] in "ZX":
            return "gone"
        return "stopped" if fields[0] in "Tt" else "running"

    def signal(self, number: int) -> bool:
        """Sends a signal. False when the process is gone."""
        with self._open() as handle:
            if handle is None:
                return False
            try:
                signal.pidfd_send_signal(handle, number)
            except ProcessLookupError:
                return False
            return True

    def wait_gone(self, timeout_s: float) -> bool:
        """Waits for its end. False when it has not ended in time."""
        with self._open() as handle:
            return handle is None or bool(select.select([handle], [], [], timeout_s)[0])

    @contextlib.contextmanager
    def _open(self) -> Iterator[int | None]:
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            yield None
            return
        try:
            # Checked when the handle is there: from now on it means this process or none.
            yield None if self.state() == "gone" else handle
        finally:
            os.close(handle)


def launch(command: list[str], out: Path, log: Path) -> tuple[subprocess.Popen, Process | None]:
    """Starts a process that stays when this one ends. Its output begins `out` anew and goes on in `log`."""
    with out.open("wb") as stdout, log.open("ab") as stderr:
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, start_new_session=True
        )
    return started, Process.of(started.pid)
