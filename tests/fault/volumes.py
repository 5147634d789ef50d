"""Filesystems in a file, mounted by loop device, whose power can be cut.

The cut is FS_IOC_SHUTDOWN without flushing the journal: from that moment nothing reaches the device, and what the
filesystem had not yet made durable is gone at the next mount. It does not model a drive that loses its own cache.
"""

import fcntl
import os
import struct
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from cairn_harness import wait_until  # noqa: E402

_FS_IOC_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = 2


def why_unavailable(filesystem):
    """Why volumes of that kind cannot be made here; None when they can."""
    if os.geteuid() != 0:
        return "needs root to mount a loop device"
    if not os.path.exists("/dev/loop-control"):
        return "the kernel has no loop devices (/dev/loop-control is missing)"
    mkfs = f"/sbin/mkfs.{filesystem}"
    if not os.path.exists(mkfs):
        return f"{mkfs} is missing: run tools/setup --test"
    with open("/proc/filesystems", encoding="ascii") as known:
        if filesystem not in known.read().split():
            return f"the kernel does not know {filesystem}"
    return None


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


class Volume:
    """One filesystem in an image file."""

    def __init__(self, directory, filesystem, size_bytes=1 << 30):
        self.filesystem = filesystem
        self.mount_point = os.path.join(directory, "mnt-" + filesystem)
        self._image = os.path.join(directory, filesystem + ".img")
        os.makedirs(self.mount_point)
        with open(self._image, "wb") as image:
            image.truncate(size_bytes)
        _run(f"/sbin/mkfs.{filesystem}", "-q", self._image)
        self._mounted = False
        self.mount()

    def mount(self):
        """Mounts it, which replays its journal."""
        _run("mount", "-o", "loop", self._image, self.mount_point)
        self._mounted = True

    def cut_power(self):
        """From here on nothing that was not durable will be there again."""
        handle = os.open(self.mount_point, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, _FS_IOC_SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
        finally:
            os.close(handle)

    def unmount(self):
        def unmounted():
            return subprocess.run(["umount", self.mount_point], capture_output=True, check=False).returncode == 0

        if self._mounted:
            # The kernel ends the ring of a killed process a little after the process.
            wait_until(unmounted, f"{self.mount_point} is free to be unmounted")
            self._mounted = False

    def remount(self):
        self.unmount()
        self.mount()

    def remove(self):
        self.unmount()
        os.unlink(self._image)
