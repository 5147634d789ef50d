"""Directories on the same disk, each shown in a way of its own: ext4, a FUSE file system that only passes on, a Debian NFS
server over loopback, and Cairn's mount. What is made here is taken away in the reverse order, whatever happens in between."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time

from .cluster import wait_until
from .dcp import drop_page_cache, free_port
from .node import Server
from .processes import BenchError

PATIENCE_S = 30
NFSD_THREADS, NFSD_END_GRACE = "/proc/fs/nfsd/threads", "/proc/fs/nfsd/v4_end_grace"
# Any number that no other export of the machine has.
EXPORT_ID = 7440

GANESHA = """
NFS_CORE_PARAM {{ Protocols = 4; NFS_Port = {port}; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; }}
NFSV4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = "{state}"; }}
EXPORT {{ Export_Id = {number}; Path = "{path}"; Pseudo = "{path}"; Access_Type = RW; Squash = No_Root_Squash;
         SecType = sys; Protocols = 4; FSAL {{ Name = VFS; }} }}
NFS_KRB5 {{ Active_krb5 = false; }}
LOG {{ Default_Log_Level = WARN; }}
"""


def system(*command, timeout_s=120):
    """What a command prints that has to succeed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    except FileNotFoundError as error:
        raise BenchError(f"{command[0]} is missing: run tools/setup --bench") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{' '.join(command)} did not end within {timeout_s} s") from error
    if done.returncode != 0:
        raise BenchError(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout.strip()


@contextlib.contextmanager
def taken_away():
    """What is registered in it is undone at the end, and no second Ctrl-C comes in between."""
    undo = contextlib.ExitStack()
    try:
        yield undo
    finally:
        former = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            undo.close()
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)


def is_mounted(path):
    """Also when whoever served it has died, and stat(2) fails."""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
        return any(line.split()[1].replace("\\040", " ") == path for line in mounts)


def unmount(path):
    """Gone from the tree also while it is in use; what is not mounted is left alone."""
    if is_mounted(path):
        for options in ([], ["-l"]):
            done = subprocess.run(["umount", *options, path], capture_output=True, check=False, timeout=60)
            if done.returncode == 0:
                return


class Contender:
    """A directory by the name of the way that leads to it."""

    name = ""
    about = ""

    def __init__(self, path):
        self.path = path

    def make_cold(self, backing):
        """What is read next comes from the disk. Returns how."""
        how = drop_page_cache(backing)
        if how != "drop_caches":
            self.remount()
        return how

    def remount(self):
        """Where the caches of the machine cannot be dropped, a mount's go with it."""

    def settle(self):
        """What this has still to do is done, and weighs on nobody else's turn."""


class Ext4(Contender):
    """The disk's own file system; an image of ext4 by a loop device, where that is another."""

    name = "ext4"

    def __init__(self, scratch, size_bytes, undo):
        super().__init__(os.path.join(scratch, "ext4"))
        os.mkdir(self.path)
        self.about = system("findmnt", "--noheadings", "--output", "FSTYPE", "--target", scratch)
        if self.about == "ext4":
            return
        self.about = f"ext4 in an image on {self.about}"
        image = os.path.join(scratch, "ext4.image")
        with open(image, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size_bytes)
        # Else the kernel would go on making the file system during the rounds.
        system("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        device = system("losetup", "--find", "--show", "--direct-io=on", image)
        undo.callback(system, "losetup", "--detach", device)
        system("mount", device, self.path)
        undo.callback(unmount, self.path)

    def directory(self, name):
        """A new one, for who shows it in another way."""
        path = os.path.join(self.path, name)
        os.mkdir(path)
        return path


class Fuse(Contender):
    """A process that serves a mount until it is told to end."""

    def __init__(self, group, scratch, command, undo):
        super().__init__(os.path.join(scratch, f"mount-{self.name}"))
        self._group, self._command = group, command
        self._log = os.path.join(scratch, f"mount-{self.name}.log")
        os.mkdir(self.path)
        self._child = None
        undo.callback(self._stop)
        self._start()

    def _start(self):
        self._child = self._group.start([*self._command, self.path], self._log)
        deadline = time.monotonic() + PATIENCE_S
        while not is_mounted(self.path):
            if self._child.process.poll() is not None or time.monotonic() > deadline:
                raise BenchError(f"{self.name} is not mounted; {self._child.log_tail()}")
            time.sleep(0.02)

    def _stop(self):
        # It ends by itself when nothing is mounted any more.
        unmount(self.path)
        if self._child is not None:
            self._child.stop()

    def remount(self):
        self._stop()
        self._start()


class Passthrough(Fuse):
    """bench/compare/passthrough_main.cc over a directory of ext4."""

    name = "passthrough"

    def __init__(self, group, build_dir, scratch, disk, undo):
        program = os.path.join(build_dir, "bin/passthrough")
        if not os.path.exists(program):
            raise BenchError(f"{program} is missing: it is built where libfuse3-dev is (tools/setup --build)")
        super().__init__(group, scratch, [program, disk.directory("below-passthrough")], undo)


class Cairn(Fuse):
    """`cairn mount` of a bucket of one node with one target."""

    name = "cairn"

    def __init__(self, group, build_dir, scratch, options, target_bytes, undo):
        server = Server(group, build_dir, scratch, options, target_bytes)
        undo.callback(server.stop)
        program = os.path.join(build_dir, "bin/cairn")
        self._status = [program, "--endpoint", server.endpoint, "--output", "json", "status"]
        super().__init__(group, scratch, [program, "mount", "--foreground", f"{server.endpoint}:/default"], undo)

    def settle(self):
        """Space of what was removed has come back."""
        wait_until(lambda: json.loads(system(*self._status))["reclaim_pending_bytes"] == 0,
                   "the space of removed files comes back", PATIENCE_S)


def load_module(name):
    if shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", name], capture_output=True, check=False)


def kernel_knows(file_system):
    with open("/proc/filesystems", encoding="ascii") as known:
        return any(line.split()[-1] == file_system for line in known)


def nfs_client_missing():
    """Why nothing can be mounted by NFS here; None when it can."""
    load_module("nfsv4")
    if not kernel_knows("nfs4"):
        return "this kernel has no NFS client (CONFIG_NFS_V4), nor a module of it"
    return None


class KernelServer:
    """The kernel's NFS server. Where none runs, one of our own: by NFS 4 alone, at a port of the loopback alone."""

    about = "the kernel's server"

    def __init__(self, group, scratch, path, undo):
        self.port, self.root, fsid = None, path, EXPORT_ID
        load_module("nfsd")
        if not os.path.exists(NFSD_THREADS):
            system("mount", "-t", "nfsd", "nfsd", os.path.dirname(NFSD_THREADS))
            undo.callback(unmount, os.path.dirname(NFSD_THREADS))
        if not self._runs():
            # Its only export is its root: what is above need not be a file system that can be exported.
            self.port, self.root, fsid = free_port(), "/", 0
            # It answers the kernel's questions about exports.
            child = group.start(["rpc.mountd", "--foreground", "--no-nfs-version", "3"],
                                os.path.join(scratch, "mountd.log"))
            undo.callback(child.stop)
            system("rpc.nfsd", "--no-nfs-version", "3", "--host", "127.0.0.1", "--port", str(self.port), "8")
            undo.callback(system, "rpc.nfsd", "0")
            # No client of an earlier server is waited for.
            with open(NFSD_END_GRACE, "w", encoding="ascii") as control:
                control.write("Y")
        system("exportfs", "-o", f"rw,sync,no_root_squash,no_subtree_check,fsid={fsid}", f"127.0.0.1:{path}")
        undo.callback(system, "exportfs", "-u", f"127.0.0.1:{path}")

    @staticmethod
    def _runs():
        with open(NFSD_THREADS, encoding="ascii") as threads:
            return int(threads.read()) > 0


class Ganesha:
    """Debian's nfs-ganesha, a server in user space, for where the kernel has none."""

    about = "nfs-ganesha"

    def __init__(self, group, scratch, path, undo):
        self.port, self.root = free_port(), path
        state, config = (os.path.join(scratch, name) for name in ("ganesha", "ganesha.conf"))
        os.mkdir(state)
        with open(config, "w", encoding="ascii") as file:
            file.write(GANESHA.format(port=self.port, state=state, number=EXPORT_ID, path=path))
        child = group.start(["ganesha.nfsd", "-F", "-f", config, "-p", os.path.join(state, "pid"),
                             "-L", os.path.join(scratch, "ganesha.log")], os.path.join(scratch, "ganesha.err"))
        undo.callback(child.stop)


class Nfs(Contender):
    """A directory of ext4 by the kernel's NFS client, from the kernel's server or from Ganesha."""

    name = "nfs"

    def __init__(self, group, scratch, disk, undo):
        super().__init__(os.path.join(scratch, "mount-nfs"))
        os.mkdir(self.path)
        exported = disk.directory("below-nfs")
        load_module("nfsd")
        server = (KernelServer if kernel_knows("nfsd") else Ganesha)(group, scratch, exported, undo)
        self.about = f"{server.about}, NFS 4.2"
        self._options = "vers=4.2,proto=tcp" + (f",port={server.port}" if server.port else "")
        self._source = f"127.0.0.1:{server.root}"
        undo.callback(unmount, self.path)
        self._mount_patiently()

    def _mount_patiently(self):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self._mount()
            except BenchError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _mount(self):
        system("mount", "-t", "nfs4", "-o", self._options, self._source, self.path)

    def remount(self):
        unmount(self.path)
        self._mount()


def all_ways(options, scratch, group, target_bytes, results, undo):
    """Contenders: all that this machine has. None holds more than a turn's files when another's turn is."""
    scratch = os.path.realpath(scratch)  # as the kernel names what is mounted
    disk = Ext4(scratch, target_bytes, undo)
    ways = [disk, Passthrough(group, options.build_dir, scratch, disk, undo)]
    without_nfs = nfs_client_missing()
    if without_nfs is None:
        try:
            ways.append(Nfs(group, scratch, disk, undo))
        except BenchError as error:
            without_nfs = str(error)
    if without_nfs:
        results.skip("mounts: NFS", without_nfs)
    ways.append(Cairn(group, options.build_dir, scratch, options, target_bytes, undo))
    return ways
