"""Mounts of a cluster (`cairn mount`) for the end-to-end tests, and processes that make system calls in them.

A mount that hangs makes who waits for it unkillable, so each runs under a limit after which it is killed itself; it
ends with the test's process, too. What one test leaves mounted, whatever happened to it, is taken away.

CAIRN_POSIX_DIRECTORIES=DIR[:DIR] lets the tests of POSIX semantics run in these directories, one and the same by two
ways, instead of in a mount: a test that fails on a local file system is wrong itself.
"""

import contextlib
import errno
import itertools
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import unittest

from cairn_cluster import FOUNDER, ClusterTest
from cairn_harness import PATIENCE_S, program, wait_until

# Less than what a test may take in all.
MOUNT_LIMIT_S = 280
BUCKET = "b"
OTHER_UID = 54321
OTHER_GID = 54322
_ELSEWHERE = [path for path in os.environ.get("CAIRN_POSIX_DIRECTORIES", "").split(":") if path]


def why_unavailable():
    """Why nothing can be mounted here, or None."""
    if os.geteuid() != 0:
        return "needs root: the tests act as other users, and unmount what is left"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"/dev/fuse cannot be opened: {error.strerror}"
    if not shutil.which("fusermount3"):
        return "fusermount3 is missing: tools/setup --test brings it"
    return None


def needs_cairn(why):
    """Of a test that a local file system need not pass."""
    return unittest.skipIf(bool(_ELSEWHERE), f"not on CAIRN_POSIX_DIRECTORIES: {why}")


def is_mounted(path):
    """Whether something is mounted there; asks the kernel, and not the mount."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        points = [line.split()[4] for line in mounts]
    return os.path.abspath(path).replace(" ", "\\040") in points


class Mount:
    """One `cairn mount -f` of `path` in the cluster ("": all buckets). A context manager, too."""

    def __init__(self, endpoint, mountpoint, path="", arguments=(), limit_s=MOUNT_LIMIT_S):
        self.endpoint = endpoint
        self.mountpoint = mountpoint
        self.log_path = mountpoint.rstrip("/") + ".log"
        source = f"{endpoint}:/{path}" if path else endpoint
        self._command = ["setpriv", "--pdeathsig", "TERM", "timeout", "--signal=KILL", str(limit_s), program("cairn"),
                         "mount", "-f", "--allow-other", *arguments, source, mountpoint]
        self.process = None

    def start(self):
        """Starts it and waits until it answers. Raises RuntimeError with its last words when it ends instead."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self):
        """Starts it without waiting."""
        # Of a mount that is dead, all that can be told is that it is there.
        with contextlib.suppress(FileExistsError):
            os.makedirs(self.mountpoint)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)

    def wait_ready(self):
        wait_until(self._answers, f"{self.mountpoint} is mounted and answers")

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"cairn mount ended with {self.process.returncode}: {self.log()[-2000:]}")
        if not is_mounted(self.mountpoint):
            return False
        with contextlib.suppress(OSError):
            os.statvfs(self.mountpoint)
            return True
        return False

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()

    def pid(self):
        """Of the mount itself, which runs under its limit."""
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            return int(children.read().split()[0])

    def running(self):
        return self.process is not None and self.process.poll() is None

    def unmount(self):
        """`cairn umount`; the exit status of the mount. Raises RuntimeError with what is said when it is refused."""
        done = subprocess.run([program("cairn"), "umount", self.mountpoint], check=False, timeout=PATIENCE_S,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"cairn umount ended with {done.returncode}: {done.stderr.strip()}")
        return self.process.wait(PATIENCE_S)

    def kill(self):
        """SIGKILL. What it was mounted at stays, and answers with errors, until somebody takes it away."""
        if self.running():
            os.kill(self.pid(), signal.SIGKILL)
            self.process.wait(PATIENCE_S)

    def remove(self):
        """Whatever state it is in: it has ended, and nothing is mounted there."""
        if self.running():
            with contextlib.suppress(OSError, IndexError):
                self.kill()
            if self.running():
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(PATIENCE_S)
        while is_mounted(self.mountpoint):
            subprocess.run(["umount", "--lazy", self.mountpoint], check=True, timeout=PATIENCE_S)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self.unmount()
        finally:
            self.remove()


class Peer:
    """A process of its own that makes calls when told to; in `directory`, and as somebody else when told who. It is
    forked from this one, so that it needs no right to reach an interpreter, and has this one's descriptors."""

    def __init__(self, directory=None, uid=None, gid=None, groups=()):
        self._pipe, theirs = multiprocessing.Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            with contextlib.suppress(BaseException):
                self._pipe.close()
                if directory is not None:
                    os.chdir(directory)
                if uid is not None:
                    os.setgroups(list(groups))
                    os.setresgid(gid, gid, gid)
                    os.setresuid(uid, uid, uid)
                self._serve(theirs)
            os._exit(0)
        theirs.close()

    @staticmethod
    def _serve(pipe):
        while True:
            function, arguments, named = pipe.recv()
            try:
                pipe.send((function(*arguments, **named), None))
            except Exception as error:  # whatever it is, it is the caller's
                pipe.send((None, error))

    def tell(self, function, *arguments, **named):
        """Has it call `function`, which a name leads to; `answer` gets the result."""
        self._pipe.send((function, arguments, named))

    def answered(self, timeout_s=0):
        """Whether the call has ended."""
        return self._pipe.poll(timeout_s)

    def answer(self, timeout_s=PATIENCE_S):
        """The result, or the error is raised."""
        if not self._pipe.poll(timeout_s):
            raise AssertionError(f"a call did not return within {timeout_s} s")
        result, error = self._pipe.recv()
        if error is not None:
            raise error
        return result

    def ask(self, function, *arguments, **named):
        self.tell(function, *arguments, **named)
        return self.answer()

    def end(self, number=signal.SIGKILL):
        """Ends it, and waits until it is gone."""
        if self.pid:
            os.kill(self.pid, number)
            os.waitpid(self.pid, 0)
            self._pipe.close()
            self.pid = 0


# ---- what a Peer is told to call ----

def read_file(path):
    with open(path, "rb") as file:
        return file.read()


def write_file(path, content, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o666, sync=False):
    """Writes all of `content`; with `sync`, durably."""
    fd = os.open(path, flags, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view):]
        if sync:
            os.fsync(fd)
    finally:
        os.close(fd)


def sync_directory(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def described(top):
    """What there is of each file below `top`, by its path: mode, owners, time, size; and links by the first of their names."""
    found, inodes = {}, {}
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(folders + names):
            path = os.path.join(folder, name)
            each = os.lstat(path)
            at = os.path.relpath(path, top)
            directory = stat.S_ISDIR(each.st_mode)
            first = at if directory or each.st_nlink == 1 else inodes.setdefault(each.st_ino, at)
            found[at] = (oct(each.st_mode), each.st_uid, each.st_gid, each.st_mtime_ns, 0 if directory else each.st_size, first)
    return found


class MountTest(ClusterTest):
    """A test that mounts clusters of its own."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if reason := why_unavailable():
            raise unittest.SkipTest(reason)

    def mount(self, cluster, name="mnt", path=BUCKET, start=True, **options):
        """A mount that is gone at the end of the test."""
        mount = Mount(cluster.servers[FOUNDER].endpoint, os.path.join(self.dir, name), path, **options)
        self.addCleanup(mount.remove)
        return mount.start() if start else mount

    def mounted_cluster(self, nodes=1, settings=None, **options):
        """A cluster with a bucket, and a mount of that."""
        cluster = self.cluster(nodes, settings)
        self.run_cli(cluster, "mkdir", BUCKET)
        return cluster, self.mount(cluster, **options)

    def peer(self, *arguments, **options):
        """A Peer that ends with the test."""
        peer = Peer(*arguments, **options)
        self.addCleanup(peer.end)
        return peer

    def assert_errno(self, number, function, *arguments, **named):
        """`function` fails with that errno, or one of those."""
        numbers = number if isinstance(number, tuple) else (number,)
        with self.assertRaises(OSError) as caught:
            function(*arguments, **named)
        self.assertIn(caught.exception.errno, numbers, f"{errno.errorcode.get(caught.exception.errno)}, and not "
                      f"{'/'.join(errno.errorcode[each] for each in numbers)}")


class SharedMountTest(MountTest):
    """Tests of one class share a node and two mounts of its bucket. Each test has a directory of its own, which is
    `here` by the one mount and `there` by the other."""

    settings = None
    needs_cairn = False  # or a local file system will do
    _numbers = itertools.count(1)

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if _ELSEWHERE and cls.needs_cairn:
            raise unittest.SkipTest("needs a mount, and CAIRN_POSIX_DIRECTORIES is set")
        if _ELSEWHERE:
            cls.roots = (_ELSEWHERE[0], _ELSEWHERE[-1])
            return
        # As a test would, for all of them.
        stage = MountTest("setUp")
        stage.setUp()
        cls.addClassCleanup(stage.doCleanups)
        cls.shared = stage.cluster(1, cls.settings)
        stage.run_cli(cls.shared, "mkdir", BUCKET)
        cls.mounts = [stage.mount(cls.shared, name) for name in ("mnt-1", "mnt-2")]
        cls.roots = tuple(mount.mountpoint for mount in cls.mounts)

    def setUp(self):
        super().setUp()
        self._open = set()
        if _ELSEWHERE:
            self.here = tempfile.mkdtemp(dir=self.roots[0])
            self.addCleanup(shutil.rmtree, self.here, ignore_errors=True)
            os.chmod(self.here, 0o755)
            self.there = os.path.join(self.roots[1], os.path.basename(self.here))
        else:
            name = f"t{next(self._numbers)}"
            self.here, self.there = (os.path.join(root, name) for root in self.roots)
            os.mkdir(self.here, 0o755)
        self.name = os.path.basename(self.here)
        self.addCleanup(self._close_all)

    def at(self, name):
        """The path of a file by the one mount."""
        return os.path.join(self.here, name)

    def also(self, name):
        """The same by the other."""
        return os.path.join(self.there, name)

    def in_cluster(self, name):
        """The same as the command line and the SDK call it."""
        return f"{BUCKET}/{self.name}/{name}"

    def cli(self, *arguments, expect=0):
        return self.run_cli(self.shared, *arguments, expect=expect)

    def wait_reclaimed(self):
        """Until the space of all that was removed, and that nobody has open, is free."""
        if not _ELSEWHERE:
            wait_until(lambda: int(self.shared.status().get("reclaim_pending_bytes", 0)) == 0, "reclaim is done")

    def opened(self, path, flags=os.O_RDWR | os.O_CREAT, mode=0o644):
        """A descriptor, closed by close() or at the end of the test."""
        fd = os.open(path, flags, mode)
        self._open.add(fd)
        return fd

    def close(self, fd):
        self._open.remove(fd)
        os.close(fd)

    def _close_all(self):
        while self._open:
            os.close(self._open.pop())
