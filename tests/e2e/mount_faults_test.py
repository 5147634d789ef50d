"""Goal: whoever is killed, the mount, its user or the server, nothing that was synced or closed is lost, nothing hangs and
nobody is left locked out. Method: SIGKILL and SIGSTOP to real processes while files are open, and looks from elsewhere."""

import contextlib
import errno
import fcntl
import glob
import os
import random
import signal
import subprocess
import time
import unittest

from cairn_cluster import FOUNDER
from cairn_harness import MIB, PATIENCE_S, program, wait_until
from mount_harness import BUCKET, MountTest, is_mounted, read_file, sync_directory, write_file

# Of a mount that says nothing any more, until the cluster lets go of what it had.
SESSION_PATIENCE_S = 60


def content(seed, size):
    return random.Random(seed).randbytes(size)


def descendants(pid):
    """The process and all it has started."""
    with contextlib.suppress(OSError):
        found = [pid]
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as children:
                found += [each for child in children.read().split() for each in descendants(int(child))]
        return found
    return []


def is_running(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat", encoding="ascii") as state:
        return state.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    return False


def waits_in_kernel(pid):
    """Whether a thread of what it has started waits for something that no signal ends."""
    for process in descendants(pid)[1:]:
        for task in glob.glob(f"/proc/{process}/task/*/stat"):
            with contextlib.suppress(OSError), open(task, encoding="ascii") as state:
                if state.read().rsplit(")", 1)[1].split()[0] == "D":
                    return True
    return False


class KilledMount(MountTest):
    def test_nothing_that_was_synced_or_closed_is_lost(self):
        cluster, mount = self.mounted_cluster()
        top = mount.mountpoint
        kept = {}
        os.makedirs(os.path.join(top, "d/e"))
        for number, size in enumerate((0, 1, 5000, 40_000, MIB, 9 * MIB + 5)):
            for sync in (True, False):
                name = f"d/{'synced' if sync else 'closed'}-{number}"
                kept[name] = content(number, size)
                write_file(os.path.join(top, name), kept[name], sync=sync)
        os.rename(os.path.join(top, "d/synced-4"), os.path.join(top, "d/e/renamed"))
        kept["d/e/renamed"] = kept.pop("d/synced-4")
        os.unlink(os.path.join(top, "d/closed-2"))
        del kept["d/closed-2"]
        sync_directory(os.path.join(top, "d"))
        # Still open, and synced; then more that nobody was promised anything of.
        held = [os.open(os.path.join(top, f"held-{number}"), os.O_RDWR | os.O_CREAT) for number in range(3)]
        for number, fd in enumerate(held):
            os.write(fd, content(70 + number, 3 * MIB + number))
            os.pwrite(fd, b"in place", MIB - 3)
            os.fsync(fd)
            os.pwrite(fd, b"promised" * 10, 3 * MIB + 1000)
        mount.kill()
        self.assertTrue(is_mounted(top))
        for fd in held:
            self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED, errno.EIO), os.pread, fd, 10, 5 * MIB)
            self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED, errno.EIO), os.fsync, fd)
            # What close() says of it does not matter; the descriptor is gone.
            self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED, errno.EIO), close_loudly, fd)
        self.assert_errno(errno.ENOTCONN, os.listdir, top)
        again = self.mount(cluster, "again")
        for name, expected in kept.items():
            self.assertEqual(read_file(os.path.join(again.mountpoint, name)), expected, name)
        self.assertFalse(os.path.exists(os.path.join(again.mountpoint, "d/closed-2")))
        for number in range(3):
            expected = bytearray(content(70 + number, 3 * MIB + number))
            expected[MIB - 3:MIB + 5] = b"in place"
            found = read_file(os.path.join(again.mountpoint, f"held-{number}"))
            self.assertEqual(found[:len(expected)], expected)
        subprocess.run([program("cairn"), "umount", top], check=True, timeout=PATIENCE_S, capture_output=True)
        self.assertFalse(is_mounted(top))
        self.assert_clean(cluster)

    def test_another_mount_takes_its_place(self):
        cluster, mount = self.mounted_cluster()
        write_file(os.path.join(mount.mountpoint, "f"), b"content")
        mount.kill()
        with self.mount(cluster, start=False) as again:
            self.assertEqual(read_file(os.path.join(again.mountpoint, "f")), b"content")
        self.assertFalse(is_mounted(mount.mountpoint))

    def test_its_locks_end(self):
        cluster, mount = self.mounted_cluster()
        other = self.mount(cluster, "other")
        write_file(os.path.join(mount.mountpoint, "f"), b"")
        peers = [self.peer(), self.peer()]
        for peer, lock in zip(peers, (fcntl.lockf, fcntl.flock)):
            peer.ask(lock, peer.ask(os.open, os.path.join(mount.mountpoint, "f"), os.O_RDWR), fcntl.LOCK_EX)
        fd = os.open(os.path.join(other.mountpoint, "f"), os.O_RDWR)
        self.addCleanup(os.close, fd)
        for lock in (fcntl.lockf, fcntl.flock):
            self.assert_errno((errno.EAGAIN, errno.EACCES), lock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mount.kill()

        def free():
            try:
                fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except OSError:
                return False
        wait_until(free, "the locks are free", SESSION_PATIENCE_S)

    def test_the_space_of_what_it_had_open_and_unlinked_comes_back(self):
        cluster, mount = self.mounted_cluster()
        path = os.path.join(mount.mountpoint, "f")
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(fd, content(1, 24 * MIB))
        os.fsync(fd)
        os.unlink(path)
        cluster.wait_used(lambda used: sum(used.values()) > 20 * MIB, "it takes space")
        mount.kill()
        self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED, errno.EIO), close_loudly, fd)
        cluster.wait_used(lambda used: sum(used.values()) < 8 * MIB, "its space is free", SESSION_PATIENCE_S)

    def test_a_mount_told_to_end_writes_what_it_has(self):
        cluster, mount = self.mounted_cluster()
        write_file(os.path.join(mount.mountpoint, "f"), content(3, 9 * MIB))
        os.kill(mount.pid(), signal.SIGTERM)
        # As a program that ends in order says which signal it was.
        self.assertIn(mount.process.wait(PATIENCE_S), (0, 128 + signal.SIGTERM))
        self.assertFalse(is_mounted(mount.mountpoint))
        with self.mount(cluster, "again", start=False) as again:
            self.assertEqual(read_file(os.path.join(again.mountpoint, "f")), content(3, 9 * MIB))

    def test_it_goes_at_once_though_the_kernel_is_being_told_of_something(self):
        cluster, mount = self.mounted_cluster()
        top = os.path.join(mount.mountpoint, "d")
        os.mkdir(top)
        for number in range(20):
            write_file(os.path.join(top, f"f{number}"), b"content")
        self.assertEqual(len(os.listdir(top)), 20)
        self.assertEqual(sum(os.stat(os.path.join(top, f"f{number}")).st_size for number in range(20)), 140)
        # Nobody answers: the directory stays locked, and the mount soon tells the kernel that it knows nothing of it
        # any more, which waits for that.
        cluster.stop(FOUNDER)
        peer = self.peer()
        peer.tell(os.mkdir, os.path.join(top, "new"))
        wait_until(lambda: waits_in_kernel(mount.pid()), "the kernel is being told")
        processes = descendants(mount.pid())
        mount.kill()
        with self.assertRaises(OSError):
            peer.answer()
        self.assert_errno((errno.ENOTCONN, errno.ECONNABORTED), os.listdir, top)
        wait_until(lambda: not any(map(is_running, processes)), "nothing of it runs any more")

    def test_it_goes_on_when_what_tells_the_kernel_is_killed(self):
        cluster, mount = self.mounted_cluster()
        other = self.mount(cluster, "other")
        path, also = (os.path.join(each.mountpoint, "f") for each in (mount, other))
        write_file(path, b"first")
        fd = os.open(also, os.O_RDWR)
        self.addCleanup(os.close, fd)
        self.assertEqual(os.pread(fd, 20, 0), b"first")
        teller = descendants(other.pid())[1]
        os.kill(teller, signal.SIGKILL)
        wait_until(lambda: not is_running(teller), "it is gone")
        write_file(path, b"other")
        # With a lock the kernel is told to read anew.
        fcntl.lockf(fd, fcntl.LOCK_EX)
        self.assertEqual(os.pread(fd, 20, 0), b"other")
        self.assertIn("is gone; this one does", other.log())


class KilledUser(MountTest):
    def test_what_a_killed_writer_wrote_is_there_as_far_as_it_came(self):
        cluster, mount = self.mounted_cluster()
        written = content(4, 40 * MIB)
        path = os.path.join(mount.mountpoint, "f")
        peer = self.peer()
        peer.tell(write_slowly, path, written)
        wait_until(lambda: os.path.exists(path) and os.stat(path).st_size > 4 * MIB, "it is writing")
        peer.end()
        with self.mount(cluster, "other", start=False) as other:
            found = read_file(os.path.join(other.mountpoint, "f"))
        self.assertGreater(len(found), 4 * MIB)
        self.assertEqual(found, written[:len(found)])


class KilledServer(MountTest):
    def test_a_writer_goes_on_while_the_server_is_killed_again_and_again(self):
        cluster, mount = self.mounted_cluster()
        written = content(5, 48 * MIB)
        path = os.path.join(mount.mountpoint, "f")
        peers = [self.peer(), self.peer()]
        peers[0].tell(write_slowly, path, written, sync_every=8)
        peers[1].tell(write_many, os.path.join(mount.mountpoint, "many"), 300)
        for share in (0.1, 0.3, 0.6):
            wait_until(lambda: os.path.exists(path) and os.stat(path).st_size > share * len(written), "it goes on")
            cluster.kill(FOUNDER)
            cluster.restart(FOUNDER)
        for peer in peers:
            peer.answer(3 * PATIENCE_S)
        self.assertEqual(read_file(path), written)
        self.run_cli(cluster, "get", f"{BUCKET}/f", os.path.join(self.dir, "got"))
        self.assertEqual(read_file(os.path.join(self.dir, "got")), written)
        names = sorted(os.listdir(os.path.join(mount.mountpoint, "many")))
        self.assertEqual(names, sorted(f"f{number}" for number in range(300)))
        with self.mount(cluster, "other", start=False) as other:
            for number in range(300):
                self.assertEqual(read_file(os.path.join(other.mountpoint, f"many/f{number}")), b"%d" % number * 100)
        self.assert_clean(cluster)

    def test_open_files_live_on(self):
        cluster, mount = self.mounted_cluster()
        other = self.mount(cluster, "other")
        fds = {}
        for name in ("kept", "unlinked", "unlinked elsewhere"):
            fds[name] = os.open(os.path.join(mount.mountpoint, name), os.O_RDWR | os.O_CREAT)
            self.addCleanup(os.close, fds[name])
            os.write(fds[name], content(6, 2 * MIB))
            os.fsync(fds[name])
        os.unlink(os.path.join(mount.mountpoint, "unlinked"))
        os.unlink(os.path.join(other.mountpoint, "unlinked elsewhere"))
        locked = os.open(os.path.join(mount.mountpoint, "kept"), os.O_RDWR)
        self.addCleanup(os.close, locked)
        fcntl.flock(locked, fcntl.LOCK_EX)
        cluster.kill(FOUNDER)
        cluster.restart(FOUNDER)
        cluster.wait_ready(FOUNDER)
        for name, fd in fds.items():
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            self.assertEqual(os.pread(fd, 3 * MIB, 0), content(6, 2 * MIB), name)
            os.pwrite(fd, b"after", 2 * MIB)
            os.fsync(fd)
            self.assertEqual(os.pread(fd, 10, 2 * MIB), b"after")
        # A lock that was held before is held after: the mount asks for it again.
        rival = os.open(os.path.join(other.mountpoint, "kept"), os.O_RDWR)
        self.addCleanup(os.close, rival)
        self.assert_errno(errno.EAGAIN, fcntl.flock, rival, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_a_server_that_stays_away_is_an_error_after_a_while(self):
        cluster, mount = self.mounted_cluster(arguments=("-o", "timeout=3s"))
        write_file(os.path.join(mount.mountpoint, "f"), content(7, MIB), sync=True)
        fd = os.open(os.path.join(mount.mountpoint, "f"), os.O_RDWR)
        self.addCleanup(os.close, fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        cluster.stop(FOUNDER)
        self.addCleanup(cluster.cont, FOUNDER)
        peer = self.peer()
        for call in ((read_file, os.path.join(mount.mountpoint, "f")), (os.listdir, mount.mountpoint),
                     (write_file, os.path.join(mount.mountpoint, "new"), b"x")):
            began = time.monotonic()
            self.assert_errno((errno.EIO, errno.ETIMEDOUT), peer.ask, *call)
            self.assertLess(time.monotonic() - began, 30)
        cluster.cont(FOUNDER)

        def works():
            try:
                return read_file(os.path.join(mount.mountpoint, "f")) == content(7, MIB)
            except OSError:
                return False
        wait_until(works, "it works again")
        write_file(os.path.join(mount.mountpoint, "new"), b"after", sync=True)
        self.assertEqual(read_file(os.path.join(mount.mountpoint, "new")), b"after")

    def test_unmounting_does_not_wait_for_ever(self):
        cluster, mount = self.mounted_cluster(arguments=("-o", "timeout=3s"))
        write_file(os.path.join(mount.mountpoint, "f"), b"content", sync=True)
        cluster.stop(FOUNDER)
        self.addCleanup(cluster.cont, FOUNDER)
        subprocess.run([program("cairn"), "umount", mount.mountpoint], check=True, timeout=PATIENCE_S,
                       capture_output=True)
        mount.process.wait(PATIENCE_S)
        self.assertFalse(is_mounted(mount.mountpoint))


# ---- what peers do ----

def close_loudly(fd):
    """close(2), and the error that it may not have told of."""
    os.close(fd)
    raise OSError(errno.ENOTCONN, "closed")


def write_slowly(path, written, sync_every=0):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    for number, at in enumerate(range(0, len(written), MIB // 4)):
        view = memoryview(written)[at:at + MIB // 4]
        while view:
            view = view[os.write(fd, view):]
        if sync_every and number % sync_every == 0:
            os.fsync(fd)
    os.fsync(fd)
    os.close(fd)


def write_many(directory, count):
    os.mkdir(directory)
    for number in range(count):
        path = os.path.join(directory, f"f{number}")
        write_file(path + ".tmp", b"%d" % number * 100)
        os.rename(path + ".tmp", path)


if __name__ == "__main__":
    unittest.main()
