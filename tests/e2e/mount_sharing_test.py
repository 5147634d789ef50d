"""Goal: two mounts, the SDK and the command line are one file system: who opens a file sees what others have closed, names
are everybody's at once, and what all append to has every record. Method: two mounts of a real node, a process for
each side where they work at once, the real CLI."""

import errno
import mmap
import os
import pathlib
import random
import struct
import subprocess
import time
import unittest
import urllib.request

from cairn_harness import MIB, PATIENCE_S, free_port, program, wait_until
from mount_harness import BUCKET, MountTest, SharedMountTest, is_mounted, read_file, write_file

GENERATIONS = 40
RECORD = struct.Struct("<IIIQ")  # writer, number, length of what follows, its seed


class CloseToOpen(SharedMountTest):
    def test_what_is_closed_is_seen_by_who_opens_next(self):
        dice = random.Random(5)
        for number in range(GENERATIONS):
            writer, reader = (self.at, self.also) if number % 2 else (self.also, self.at)
            written = dice.randbytes(dice.choice([0, 1, 4096, 50_000, 3 * MIB]))
            write_file(writer("f"), written)
            self.assertEqual(os.stat(reader("f")).st_size if number % 3 else len(written), len(written))
            self.assertEqual(read_file(reader("f")), written, f"generation {number}")

    def test_what_is_written_in_place_is_seen(self):
        model = bytearray(random.Random(6).randbytes(400_000))
        write_file(self.at("f"), model)
        for number in range(GENERATIONS):
            writer, reader = (self.at, self.also) if number % 2 else (self.also, self.at)
            at = number * 9999
            model[at:at + 5000] = bytes([number]) * 5000
            fd = os.open(writer("f"), os.O_WRONLY)
            os.pwrite(fd, bytes([number]) * 5000, at)
            os.close(fd)
            self.assertEqual(read_file(reader("f")), model, f"generation {number}")

    def test_what_is_synced_is_seen_before_it_is_closed(self):
        fd = self.opened(self.at("f"))
        for number in range(10):
            os.pwrite(fd, b"%03d" % number * 1000, 3000 * number)
            os.fsync(fd)
            self.assertEqual(read_file(self.also("f"))[-3000:], b"%03d" % number * 1000)

    def test_what_is_mapped_is_seen_after_it_is_closed(self):
        write_file(self.at("f"), bytes(100_000))
        peer = self.peer()
        for number in range(1, 10):
            peer.ask(write_mapped, self.also("f"), number * 1000, bytes([number]) * 1000)
            self.assertEqual(read_file(self.at("f"))[number * 1000:number * 1000 + 1000], bytes([number]) * 1000)

    def test_what_is_renamed_over_a_file_is_seen_by_who_opens_next(self):
        for number in range(GENERATIONS):
            writer, reader = (self.at, self.also) if number % 2 else (self.also, self.at)
            written = b"%06d" % number * (1 + number * 700)
            write_file(writer("new"), written)
            os.rename(writer("new"), writer("f"))
            self.assertEqual(read_file(reader("f")), written)
            with self.assertRaises(FileNotFoundError):
                os.close(os.open(reader("new"), os.O_RDONLY))

    def test_what_is_truncated_or_punched_is_seen(self):
        write_file(self.at("f"), b"x" * 100_000)
        self.assertEqual(len(read_file(self.also("f"))), 100_000)
        os.truncate(self.at("f"), 10)
        self.assertEqual(read_file(self.also("f")), b"x" * 10)
        os.truncate(self.also("f"), 50)
        self.assertEqual(read_file(self.at("f")), b"x" * 10 + bytes(40))

    def test_a_file_that_another_mount_unlinks_is_read_to_its_end(self):
        written = random.Random(7).randbytes(9 * MIB)
        write_file(self.at("f"), written)
        fd = self.opened(self.also("f"), os.O_RDWR)
        self.assertEqual(os.pread(fd, 100, 0), written[:100])
        os.unlink(self.at("f"))
        self.assertEqual(os.listdir(self.there), [])
        os.pwrite(fd, b"written after", 9 * MIB)
        self.assertEqual(os.pread(fd, 10 * MIB, 0), written + b"written after")
        # Also when another has taken the name, and longer than what is removed is kept for.
        write_file(self.at("f"), b"other")
        self.wait_reclaimed()
        self.assertEqual(os.pread(fd, 10 * MIB, 0), written + b"written after")
        self.assertEqual(read_file(self.also("f")), b"other")

    def test_a_reader_keeps_to_its_file_when_the_name_is_taken(self):
        write_file(self.at("f"), b"old" * 100_000)
        fd = self.opened(self.also("f"), os.O_RDONLY)
        write_file(self.at("new"), b"new" * 100_000)
        os.rename(self.at("new"), self.at("f"))
        self.assertEqual(os.pread(fd, 300_000, 0), b"old" * 100_000)
        self.assertEqual(read_file(self.also("f")), b"new" * 100_000)


class NamesOfAll(SharedMountTest):
    def test_what_a_listing_told_of_is_looked_at_anew_by_who_opens_it(self):
        for number in range(10):
            os.mkdir(self.at(f"d{number}"))
            write_file(self.at(f"d{number}/f"), b"old")
            write_file(self.at(f"d{number}/gone"), b"old")
            # A first listing brings attributes along, with which the kernel needs no look-up.
            with os.scandir(self.also(f"d{number}")) as entries:
                self.assertEqual(sorted(entry.stat().st_size for entry in entries), [3, 3])
            write_file(self.at(f"d{number}/new"), b"newer")
            os.rename(self.at(f"d{number}/new"), self.at(f"d{number}/f"))
            os.unlink(self.at(f"d{number}/gone"))
            self.assertEqual(read_file(self.also(f"d{number}/f")), b"newer")
            with self.assertRaises(FileNotFoundError):
                read_file(self.also(f"d{number}/gone"))

    def test_the_old_name_of_a_file_leads_nowhere_soon_though_the_new_one_is_known(self):
        for number in range(10):
            write_file(self.at(f"old{number}"), b"content")
            self.assertEqual(read_file(self.also(f"old{number}")), b"content")
            os.rename(self.at(f"old{number}"), self.at(f"new{number}"))
            self.assertEqual(read_file(self.also(f"new{number}")), b"content")
        # The kernel keeps a name that it knows for a second.
        for number in range(10):
            old = self.also(f"old{number}")
            wait_until(lambda path=old: not os.path.exists(path), "the old name is forgotten", 10)

    def test_a_directory_that_another_has_moved_is_moved_on(self):
        for name in ("a", "b", "a/d"):
            os.mkdir(self.at(name))
        os.rename(self.also("a/d"), self.also("b/m"))

        def moved():
            # Without a look at it before, by which the kernel would learn where it is.
            try:
                os.rename(self.at("b/m"), self.at("a/d"))
            except OSError as error:
                self.assertEqual(error.errno, errno.ESTALE)
                return False
            return True

        wait_until(moved, "it is moved back")
        self.assertEqual((os.listdir(self.also("a")), os.listdir(self.also("b"))), (["d"], []))

    def test_what_is_made_and_removed_is_seen_at_once(self):
        for number in range(20):
            write_file(self.at(f"f{number}"), b"")
            self.assertTrue(os.path.exists(self.also(f"f{number}")))
            os.mkdir(self.also(f"d{number}"))
            self.assertEqual(len(os.listdir(self.here)), 2 * number + 2)
        for number in range(20):
            os.unlink(self.also(f"f{number}"))
            os.rmdir(self.at(f"d{number}"))
        self.assertEqual((os.listdir(self.here), os.listdir(self.there)), ([], []))

    def test_what_is_changed_by_its_name_is_what_has_the_name_now(self):
        changes = {"truncate": lambda path: os.truncate(path, 3), "chmod": lambda path: os.chmod(path, 0o600),
                   "utime": lambda path: os.utime(path, ns=(5, 5)), "chown": lambda path: os.chown(path, 7, 7),
                   "setxattr": lambda path: os.setxattr(path, "user.a", b"1")}
        for name, change in changes.items():
            write_file(self.at(name), b"old content")
            # Known to the one mount when the other puts another file in its place.
            self.assertEqual(read_file(self.at(name)), b"old content")
            write_file(self.also("new"), b"new content")
            os.rename(self.also("new"), self.also(name))
            change(self.at(name))

        def told():
            found = {name: os.stat(self.also(name)) for name in changes}
            return (found["truncate"].st_size, found["chmod"].st_mode & 0o777, found["utime"].st_mtime_ns,
                    found["chown"].st_uid, os.listxattr(self.also("setxattr")))
        wait_until(lambda: told() == (3, 0o600, 5, 7, ["user.a"]), "the new files are changed", 10)
        self.assertEqual(read_file(self.also("truncate")), b"new")

    def test_attributes_follow_within_the_time_they_may_be_kept(self):
        write_file(self.at("f"), b"123")
        os.stat(self.also("f"))
        os.chmod(self.at("f"), 0o600)
        os.chown(self.at("f"), 7, 8)
        os.setxattr(self.at("f"), "user.a", b"b")
        os.utime(self.at("f"), ns=(5, 6))

        def follows():
            found = os.stat(self.also("f"))
            return (found.st_mode & 0o777, found.st_uid, found.st_gid, found.st_mtime_ns) == (0o600, 7, 8, 6)
        wait_until(follows, "the other mount tells the new attributes", 10)
        self.assertEqual(os.getxattr(self.also("f"), "user.a"), b"b")

    def test_of_two_that_make_one_name_one_succeeds(self):
        peers = [self.peer(directory) for directory in (self.here, self.there)]
        for number in range(50):
            for call in ((os.open, f"f{number}", os.O_CREAT | os.O_EXCL), (os.mkdir, f"d{number}")):
                for peer in peers:
                    peer.tell(*call)
                failed = 0
                for peer in peers:
                    try:
                        peer.answer()
                    except FileExistsError:
                        failed += 1
                self.assertEqual(failed, 1, call[1])

    def test_directories_that_move_take_their_files_along(self):
        os.makedirs(self.at("a/b/c"))
        write_file(self.at("a/b/c/f"), b"moved")
        self.assertEqual(read_file(self.also("a/b/c/f")), b"moved")
        fd = self.opened(self.also("a/b/c/f"), os.O_RDWR)
        os.rename(self.at("a/b"), self.at("x"))
        self.assertEqual(read_file(self.also("x/c/f")), b"moved")
        os.pwrite(fd, b"M", 0)
        self.close(fd)
        self.assertEqual(read_file(self.at("x/c/f")), b"Moved")
        wait_until(lambda: not os.path.exists(self.also("a/b")), "the old name is forgotten", 10)

    def test_a_directory_that_another_mount_fills_is_not_removed(self):
        os.mkdir(self.at("d"))
        self.assertEqual(os.listdir(self.also("d")), [])
        write_file(self.at("d/f"), b"")
        self.assert_errno((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, self.also("d"))


class Appending(SharedMountTest):
    def test_records_appended_through_two_mounts_are_all_there_and_whole(self):
        counts = 150
        peers = [self.peer() for _ in range(4)]
        for number, peer in enumerate(peers):
            peer.tell(append_records, (self.at, self.also)[number % 2]("log"), number, counts)
        for peer in peers:
            peer.answer(3 * PATIENCE_S)
        for path in (self.at("log"), self.also("log")):
            numbers = {writer: [] for writer in range(4)}
            for writer, number in parse_records(read_file(path)):
                numbers[writer].append(number)
            for writer, found in numbers.items():
                self.assertEqual(found, list(range(counts)), f"of writer {writer}")

    def test_appending_turn_by_turn_keeps_the_order(self):
        fds = [self.opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for path in (self.at("f"), self.also("f"))]
        for number in range(60):
            os.write(fds[number % 2], b"%05d\n" % number)
            os.fsync(fds[number % 2])
        expected = b"".join(b"%05d\n" % number for number in range(60))
        self.assertEqual(read_file(self.at("f")), expected)
        self.assertEqual(read_file(self.also("f")), expected)


class WithTheCommandLine(SharedMountTest):
    needs_cairn = True

    def local(self, content, name="local"):
        path = os.path.join(self.dir, name)
        write_file(path, content)
        return path

    def got(self, path):
        target = os.path.join(self.dir, "got")
        self.cli("get", path, target)
        return read_file(target)

    def test_what_either_writes_the_other_reads(self):
        for number, size in enumerate((0, 1, 4096, 200_000, 5 * MIB + 1)):
            written = random.Random(number).randbytes(size)
            self.cli("put", self.local(written), self.in_cluster(f"put{number}"))
            self.assertEqual(read_file(self.at(f"put{number}")), written)
            write_file(self.at(f"made{number}"), written)
            self.assertEqual(self.got(self.in_cluster(f"made{number}")), written)
        names = {os.path.basename(entry["path"]): entry["size_bytes"] for entry in self.cli("ls", self.in_cluster(""))}
        self.assertEqual(names["made3"], 200_000)
        self.assertEqual(set(names), set(os.listdir(self.here)))

    def test_what_put_replaces_is_new_at_the_next_open(self):
        for number in range(10):
            written = random.Random(number).randbytes(100_000 + number)
            self.cli("put", self.local(written), self.in_cluster("f"))
            self.assertEqual(read_file(self.at("f")), written)
            self.assertEqual(read_file(self.also("f")), written)

    def test_what_is_written_in_place_is_got(self):
        self.cli("put", self.local(bytes(2 * MIB)), self.in_cluster("f"))
        fd = self.opened(self.at("f"), os.O_RDWR)
        model = bytearray(2 * MIB)
        for number in range(1, 20):
            os.pwrite(fd, bytes([number]) * 3000, number * 77_777)
            model[number * 77_777:number * 77_777 + 3000] = bytes([number]) * 3000
        os.ftruncate(fd, 2 * MIB + 100)
        self.close(fd)
        self.assertEqual(self.got(self.in_cluster("f")), model + bytes(100))

    def test_what_is_removed_or_moved_by_command_is_gone_from_its_place(self):
        write_file(self.at("f"), b"content")
        write_file(self.at("g"), b"other")
        self.cli("mv", self.in_cluster("f"), self.in_cluster("moved"))
        self.cli("rm", self.in_cluster("g"), "--yes")
        self.assertEqual(os.listdir(self.here), ["moved"])
        # The kernel keeps a name that it knows for a second.
        for name in ("f", "g"):
            gone = self.at(name)
            wait_until(lambda path=gone: not os.path.exists(path), "the name is forgotten", 10)
        self.assertEqual(read_file(self.at("moved")), b"content")
        os.rename(self.at("moved"), self.at("back"))
        self.assertEqual(self.got(self.in_cluster("back")), b"content")
        self.cli("mkdir", self.in_cluster("d"))
        self.assertTrue(os.path.isdir(self.at("d")))

    def test_a_reader_is_not_disturbed_by_put(self):
        old, new = (random.Random(number).randbytes(6 * MIB) for number in range(2))
        self.cli("put", self.local(old), self.in_cluster("f"))
        fd = self.opened(self.at("f"), os.O_RDONLY)
        self.assertEqual(os.pread(fd, MIB, 0), old[:MIB])
        self.cli("put", self.local(new), self.in_cluster("f"))
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self.assertEqual(os.pread(fd, 6 * MIB, 0), old)
        self.assertEqual(read_file(self.at("f")), new)


class Mounting(MountTest):
    def test_all_buckets_or_a_directory_are_shown(self):
        cluster, mount = self.mounted_cluster(path="")
        self.assertIn(BUCKET, os.listdir(mount.mountpoint))
        os.makedirs(os.path.join(mount.mountpoint, BUCKET, "deep/below"))
        write_file(os.path.join(mount.mountpoint, BUCKET, "deep/below/f"), b"one")
        with self.mount(cluster, "part", f"{BUCKET}/deep", start=False) as part:
            self.assertEqual(read_file(os.path.join(part.mountpoint, "below/f")), b"one")
            self.assertEqual(os.listdir(part.mountpoint), ["below"])
        self.assertFalse(is_mounted(part.mountpoint))
        self.assertEqual(mount.unmount(), 0)
        self.assertFalse(is_mounted(mount.mountpoint))

    def test_what_cannot_be_mounted_is_refused(self):
        cluster, mount = self.mounted_cluster()
        mount.unmount()
        endpoint = cluster.servers[1].endpoint
        write_file(os.path.join(self.dir, "file"), b"")
        for source, target, words in ((f"{endpoint}:/no-such-bucket", mount.mountpoint, "no-such-bucket"),
                                      (endpoint, os.path.join(self.dir, "none"), "none"),
                                      (endpoint, os.path.join(self.dir, "file"), "file"),
                                      ("127.0.0.1:1", mount.mountpoint, "127.0.0.1:1")):
            done = subprocess.run([program("cairn"), "mount", "-f", source, target], capture_output=True, text=True,
                                  timeout=PATIENCE_S, check=False)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(words, done.stderr)
            self.assertFalse(is_mounted(target))

    def test_in_the_background_it_answers_when_the_command_returns(self):
        cluster, mount = self.mounted_cluster()
        mount.unmount()
        command = [program("cairn"), "mount", f"{cluster.servers[1].endpoint}:/{BUCKET}", mount.mountpoint]
        # A pipe that the mount kept would never end.
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
        self.addCleanup(mount.remove)
        write_file(os.path.join(mount.mountpoint, "f"), b"content", sync=True)
        subprocess.run([program("cairn"), "umount", mount.mountpoint], check=True, capture_output=True, timeout=PATIENCE_S)
        self.assertFalse(is_mounted(mount.mountpoint))
        mount.start()
        self.assertEqual(read_file(os.path.join(mount.mountpoint, "f")), b"content")

    def test_a_mount_in_use_is_not_taken_away(self):
        _, mount = self.mounted_cluster()
        fd = os.open(os.path.join(mount.mountpoint, "f"), os.O_CREAT | os.O_WRONLY)
        done = subprocess.run([program("cairn"), "umount", mount.mountpoint], capture_output=True, text=True,
                              timeout=PATIENCE_S, check=False)
        self.assertNotEqual(done.returncode, 0)
        os.write(fd, b"still there")
        os.close(fd)
        self.assertEqual(mount.unmount(), 0)

    def test_unmounting_writes_what_is_there_to_be_written(self):
        cluster, mount = self.mounted_cluster()
        written = random.Random(8).randbytes(7 * MIB)
        for number in range(5):
            pathlib.Path(mount.mountpoint, f"f{number}").write_bytes(written)
        self.assertEqual(mount.unmount(), 0)
        for number in range(5):
            self.run_cli(cluster, "get", f"{BUCKET}/f{number}", os.path.join(self.dir, f"got{number}"))
            self.assertEqual(read_file(os.path.join(self.dir, f"got{number}")), written)


# ---- what peers do ----

def write_mapped(path, offset, content):
    fd = os.open(path, os.O_RDWR)
    with mmap.mmap(fd, 0) as mapping:
        mapping[offset:offset + len(content)] = content
    os.close(fd)


class KeptWhileItRests(MountTest):
    """Names and attributes that nobody changes are not asked for again; who has kept them is told of changes."""

    def setUp(self):
        super().setUp()
        self.port = free_port()
        cluster, self.one = self.mounted_cluster(arguments=["--metrics", f"127.0.0.1:{self.port}"])
        self.other = self.mount(cluster, "other")
        os.mkdir(os.path.join(self.one.mountpoint, "d"))
        for name in ("a", "b"):
            write_file(os.path.join(self.one.mountpoint, "d", name), b"123")

    def here(self, name):
        return os.path.join(self.one.mountpoint, "d", name)

    def there(self, name):
        return os.path.join(self.other.mountpoint, "d", name)

    def asked(self):
        """How often the kernel has asked for names or attributes."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=PATIENCE_S) as reply:
            lines = reply.read().decode().splitlines()
        counted = [f'cairn_mount_operation_seconds_count{{operation="{name}"}}' for name in ("lookup", "getattr")]
        return sum(float(line.split()[-1]) for line in lines if line.startswith(tuple(counted)))

    def asks_for_nothing(self):
        """During a look that comes later than what is not told of is kept."""
        before = self.asked()
        time.sleep(1.5)
        self.assertEqual([os.stat(self.here(name)).st_size for name in ("a", "b")], [3, 3])
        return self.asked() == before

    def rest(self, *names):
        time.sleep(2.5)  # others' changes are older than the service wants them to be
        for name in names:
            os.stat(self.here(name))

    def test_names_and_attributes(self):
        self.rest("a", "b")
        # The directories' own attributes are looked at on the way. The kernel may forget anything for want of memory.
        wait_until(self.asks_for_nothing, "names and attributes are kept")
        # Each of these would be kept for 30 s.
        os.truncate(self.there("a"), 10)
        wait_until(lambda: os.stat(self.here("a")).st_size == 10, "the new size is seen", 10)
        self.rest("a", "b")
        os.rename(self.there("a"), self.there("c"))
        wait_until(lambda: not os.path.exists(self.here("a")), "the old name is gone", 10)
        self.rest("b", "c")
        os.chmod(self.there("b"), 0o600)
        wait_until(lambda: os.stat(self.here("b")).st_mode & 0o777 == 0o600, "the mode is seen", 10)
        self.rest("b", "c")
        os.unlink(self.there("c"))
        wait_until(lambda: not os.path.exists(self.here("c")), "what was removed is gone", 10)

    def test_somebody_who_works_in_a_directory_keeps_it(self):
        self.rest("a", "b")
        fd = os.open(self.here("a"), os.O_RDONLY)
        self.addCleanup(os.close, fd)
        os.truncate(self.there("a"), 0)
        wait_until(lambda: os.stat(self.here("a")).st_size == 0, "the new size is seen", 10)
        self.assertEqual(os.readlink(f"/proc/self/fd/{fd}"), self.here("a"))
        self.assertEqual(os.fstat(fd).st_size, 0)


def append_records(path, writer, count):
    """Records of many lengths, each in one call."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    dice = random.Random(writer)
    for number in range(count):
        seed, length = dice.randrange(2**63), dice.choice([0, 10, 500, 5000, 70_000])
        record = RECORD.pack(writer, number, length, seed) + random.Random(seed).randbytes(length)
        if os.write(fd, record) != len(record):
            raise AssertionError("a record was written in parts")
        if number % 20 == 0:
            os.close(fd)
            fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.close(fd)


def parse_records(content):
    """(writer, number) of each; fails at the first that is not whole."""
    at = 0
    while at < len(content):
        writer, number, length, seed = RECORD.unpack_from(content, at)
        at += RECORD.size
        if content[at:at + length] != random.Random(seed).randbytes(length):
            raise AssertionError(f"the record {number} of writer {writer} at {at} is not whole")
        at += length
        yield writer, number


if __name__ == "__main__":
    unittest.main()
