"""Goal: files, names, attributes and permissions in a mount behave as POSIX and Linux say. Method: system calls in a mount
of a real node, also as another user; what a test expects is checked on a local file system, too (mount_harness.py)."""

import ctypes
import errno
import fcntl
import mmap
import os
import random
import socket
import stat
import time
import unittest

from cairn_harness import MIB, wait_until
from mount_harness import OTHER_GID, OTHER_UID, SharedMountTest, needs_cairn, read_file, write_file

KIB = 1024
PAGE = mmap.PAGESIZE
FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, FALLOC_ZERO_RANGE = 1, 2, 0x10
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
AT_FDCWD = -100
SECOND_NS = 10**9
libc = ctypes.CDLL(None, use_errno=True)


def fallocate(fd, mode, offset, length):
    """fallocate(2), which Python has only in part."""
    if libc.fallocate(fd, mode, ctypes.c_long(offset), ctypes.c_long(length)) != 0:
        raise OSError(ctypes.get_errno(), "fallocate")


def renameat2(source, target, flags):
    if libc.renameat2(AT_FDCWD, os.fsencode(source), AT_FDCWD, os.fsencode(target), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def content(size, seed=1):
    """Bytes that differ everywhere."""
    return random.Random(seed).randbytes(size)


class Content(SharedMountTest):
    def test_what_is_written_at_any_offset_is_read(self):
        dice = random.Random(11)
        path, model = self.at("f"), bytearray()
        fd = self.opened(path)
        for _ in range(300):
            offset = dice.choice([0, dice.randrange(3 * MIB), len(model)])
            piece = dice.randbytes(dice.choice([1, 17, 4096, 40_000, 300_000]))
            self.assertEqual(os.pwrite(fd, piece, offset), len(piece))
            model.extend(bytes(max(0, offset + len(piece) - len(model))))
            model[offset:offset + len(piece)] = piece
            at = dice.randrange(len(model))
            self.assertEqual(os.pread(fd, 70_000, at), model[at:at + 70_000])
        self.assertEqual(os.fstat(fd).st_size, len(model))
        self.close(fd)
        self.assertEqual(read_file(path), model)

    def test_a_file_larger_than_requests_and_stripes_comes_back(self):
        written = content(19 * MIB + 12345)
        write_file(self.at("f"), written)
        self.assertEqual(read_file(self.at("f")), written)
        self.assertEqual(os.stat(self.at("f")).st_size, len(written))

    def test_the_end_of_a_file_is_kept_to(self):
        fd = self.opened(self.at("f"))
        os.write(fd, b"0123456789")
        self.assertEqual(os.pread(fd, 100, 4), b"456789")
        self.assertEqual(os.pread(fd, 100, 10), b"")
        self.assertEqual(os.pread(fd, 100, 10**12), b"")
        self.assertEqual(os.lseek(fd, -3, os.SEEK_END), 7)
        self.assertEqual(os.read(fd, 100), b"789")

    def test_appending_goes_to_the_end_wherever_the_descriptor_is(self):
        first = self.opened(self.at("f"), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        second = self.opened(self.at("f"), os.O_WRONLY | os.O_APPEND)
        for number in range(50):
            os.lseek(first, 0, os.SEEK_SET)
            os.write(first, b"a%04d" % number)
            os.write(second, b"b%04d" % number)
        expected = b"".join(b"a%04d" % number + b"b%04d" % number for number in range(50))
        self.assertEqual(os.pread(first, 1000, 0), expected)
        self.assertEqual(read_file(self.at("f")), expected)

    def test_appending_that_is_set_later_goes_to_the_end_and_ends(self):
        write_file(self.at("f"), b"x" * 5000)
        fd = self.opened(self.at("f"))
        # The kernel holds a page that it has not read locked until its write is answered.
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        for _ in range(20):
            os.write(fd, b"y" * 300)
        self.assertEqual(read_file(self.at("f")), b"x" * 5000 + b"y" * 6000)

    def test_a_truncated_file_grows_again_with_zeros(self):
        written = content(100_000)
        fd = self.opened(self.at("f"))
        os.write(fd, written)
        for size in (70_001, 4096, 4095, 1):
            os.ftruncate(fd, size)
            self.assertEqual(os.fstat(fd).st_size, size)
            os.ftruncate(fd, 100_000)
            self.assertEqual(os.pread(fd, 100_001, 0), written[:size] + bytes(100_000 - size))
            os.pwrite(fd, written, 0)
        os.truncate(self.at("f"), 0)
        self.assertEqual(os.pread(fd, 10, 0), b"")
        self.assert_errno(errno.EINVAL, os.ftruncate, fd, -1)
        read_only = self.opened(self.at("f"), os.O_RDONLY)
        self.assert_errno((errno.EINVAL, errno.EBADF), os.ftruncate, read_only, 0)

    def test_holes_read_as_zeros_and_take_no_space(self):
        fd = self.opened(self.at("f"))
        os.pwrite(fd, b"x" * 4096, 5 * 1024 * MIB)
        self.assertEqual(os.fstat(fd).st_size, 5 * 1024 * MIB + 4096)
        self.assertEqual(os.pread(fd, 8192, 3 * 1024 * MIB), bytes(8192))
        self.assertEqual(os.pread(fd, 8192, 5 * 1024 * MIB - 4096), bytes(4096) + b"x" * 4096)
        os.fsync(fd)
        self.assertLess(os.fstat(fd).st_blocks * 512, 16 * MIB)
        self.assertEqual(os.lseek(fd, 0, os.SEEK_HOLE), 0)
        data = os.lseek(fd, 0, os.SEEK_DATA)
        # Less than exact is allowed, but data must not be skipped.
        self.assertGreaterEqual(data, 4 * 1024 * MIB)
        self.assertLessEqual(data, 5 * 1024 * MIB)
        self.assertEqual(os.lseek(fd, 5 * 1024 * MIB, os.SEEK_HOLE), 5 * 1024 * MIB + 4096)
        self.assert_errno(errno.ENXIO, os.lseek, fd, 6 * 1024 * MIB, os.SEEK_DATA)

    def test_fallocate_makes_room_and_holes(self):
        written = content(1 * MIB)
        fd = self.opened(self.at("f"))
        os.write(fd, written)
        fallocate(fd, FALLOC_KEEP_SIZE, 0, 2 * MIB)
        self.assertEqual(os.fstat(fd).st_size, MIB)
        fallocate(fd, 0, MIB, MIB)
        self.assertEqual(os.fstat(fd).st_size, 2 * MIB)
        fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 10_001, 500_000)
        expected = bytearray(written + bytes(MIB))
        expected[10_001:510_001] = bytes(500_000)
        self.assertEqual(os.pread(fd, 3 * MIB, 0), expected)
        fallocate(fd, FALLOC_ZERO_RANGE, 2 * MIB - 5, 10)
        fallocate(fd, FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE, 600_000, 4 * MIB)
        expected[600_000:] = bytes(2 * MIB + 5 - 600_000)
        self.assertEqual(os.pread(fd, 5 * MIB, 0), expected)
        self.close(fd)
        self.assertEqual(read_file(self.at("f")), expected)
        self.assert_errno((errno.EOPNOTSUPP, errno.EINVAL), fallocate,
                          self.opened(self.at("f")), FALLOC_PUNCH_HOLE, 0, 10)

    def test_a_shared_mapping_is_the_file(self):
        fd = self.opened(self.at("f"))
        os.write(fd, content(3 * PAGE + 100))
        with mmap.mmap(fd, 3 * PAGE + 100) as mapping:
            os.pwrite(fd, b"by write", PAGE - 4)
            self.assertEqual(mapping[PAGE - 4:PAGE + 4], b"by write")
            mapping[2 * PAGE - 4:2 * PAGE + 4] = b"mapped!!"
            self.assertEqual(os.pread(fd, 8, 2 * PAGE - 4), b"mapped!!")
            mapping.flush()
            self.assertEqual(read_file(self.at("f"))[2 * PAGE - 4:2 * PAGE + 4], b"mapped!!")
            mapping[-1:] = b"Z"
        self.close(fd)
        # Unmapped, never flushed, closed: it is written all the same.
        self.assertEqual(read_file(self.at("f"))[-1:], b"Z")
        self.assertEqual(os.stat(self.at("f")).st_size, 3 * PAGE + 100)

    def test_a_private_mapping_is_a_copy(self):
        written = content(2 * PAGE)
        fd = self.opened(self.at("f"))
        os.write(fd, written)
        with mmap.mmap(fd, 2 * PAGE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as mapping:
            mapping[10:20] = b"0123456789"
            self.assertEqual(mapping[9:21], written[9:10] + b"0123456789" + written[20:21])
            self.assertEqual(os.pread(fd, 2 * PAGE, 0), written)
        self.assertEqual(read_file(self.at("f")), written)

    def test_a_mapping_outlives_its_descriptor_and_its_name(self):
        written = content(64 * PAGE)
        write_file(self.at("f"), written)
        fd = self.opened(self.at("f"), os.O_RDONLY)
        with mmap.mmap(fd, 0, prot=mmap.PROT_READ) as mapping:
            self.close(fd)
            os.unlink(self.at("f"))
            self.assertEqual(mapping[:], written)

    def test_direct_and_buffered_calls_see_each_other(self):
        buffered = self.opened(self.at("f"))
        direct = self.opened(self.at("f"), os.O_RDWR | os.O_DIRECT)
        with mmap.mmap(-1, 4 * PAGE) as memory:
            memory[:] = content(4 * PAGE)
            self.assertEqual(os.pwritev(direct, [memory], 0), 4 * PAGE)
            self.assertEqual(os.pread(buffered, 4 * PAGE, 0), memory[:])
            os.pwrite(buffered, b"buffered", PAGE)
            expected = bytearray(memory[:])
            expected[PAGE:PAGE + 8] = b"buffered"
            self.assertEqual(os.preadv(direct, [memory], 0), 4 * PAGE)
            self.assertEqual(memory[:], expected)
            memory[:] = bytes(4 * PAGE)
            self.assertEqual(os.pwritev(direct, [memory], 4 * PAGE), 4 * PAGE)
        self.close(direct)
        self.assertEqual(read_file(self.at("f")), expected + bytes(4 * PAGE))

    def test_the_kernel_copies_between_files(self):
        written = content(MIB + 1)
        source, target = self.opened(self.at("f")), self.opened(self.at("g"))
        os.write(source, written)
        copied = 0
        while copied < len(written):
            copied += os.copy_file_range(source, target, len(written) - copied, copied, copied)
        self.assertEqual(read_file(self.at("g")), written)
        third = self.opened(self.at("h"))
        os.lseek(source, 0, os.SEEK_SET)
        self.assertEqual(os.sendfile(third, source, 0, 5000), 5000)
        self.assertEqual(read_file(self.at("h")), written[:5000])

    def test_opening_keeps_to_its_flags(self):
        write_file(self.at("f"), b"12345")
        self.assert_errno(errno.EEXIST, os.open, self.at("f"), os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        self.assert_errno(errno.ENOENT, os.open, self.at("none"), os.O_RDONLY)
        self.assert_errno(errno.ENOTDIR, os.open, self.at("f"), os.O_RDONLY | os.O_DIRECTORY)
        self.assert_errno(errno.ENOTDIR, os.open, self.at("f/below"), os.O_RDONLY)
        self.assert_errno(errno.EISDIR, os.open, self.here, os.O_WRONLY)
        os.symlink("f", self.at("link"))
        self.assert_errno(errno.ELOOP, os.open, self.at("link"), os.O_RDONLY | os.O_NOFOLLOW)
        self.assert_errno(errno.EBADF, os.write, self.opened(self.at("f"), os.O_RDONLY), b"x")
        self.assert_errno(errno.EBADF, os.read, self.opened(self.at("f"), os.O_WRONLY), 1)
        self.opened(self.at("f"), os.O_WRONLY | os.O_TRUNC)
        self.assertEqual(os.stat(self.at("f")).st_size, 0)

    def test_an_unlinked_file_lives_while_it_is_open(self):
        written = content(2 * MIB)
        fd = self.opened(self.at("f"))
        os.write(fd, written)
        os.unlink(self.at("f"))
        self.assert_errno(errno.ENOENT, os.stat, self.at("f"))
        self.assertEqual(os.fstat(fd).st_nlink, 0)
        self.assertEqual(os.pread(fd, 3 * MIB, 0), written)
        os.pwrite(fd, b"more", 2 * MIB)
        os.fsync(fd)
        os.ftruncate(fd, 2 * MIB + 2)
        os.fchmod(fd, 0o600)
        # Another of that name has nothing to do with it.
        write_file(self.at("f"), b"other")
        self.assertEqual(os.pread(fd, 10, 2 * MIB - 2), written[-2:] + b"mo")
        self.assertEqual(read_file(self.at("f")), b"other")
        self.assertEqual(os.listdir(self.here), ["f"])

    @needs_cairn("others write to a local disk meanwhile")
    def test_what_is_removed_gives_its_space_back(self):
        def free():
            space = os.statvfs(self.here)
            return space.f_bavail * space.f_frsize

        def settled():
            # Nodes tell every second what they have: what the tests before this one wrote may not be counted yet.
            known = free()
            time.sleep(3)
            return known if free() == known else None
        before = wait_until(settled, "nothing is written or freed any more")
        write_file(self.at("f"), content(24 * MIB), sync=True)
        wait_until(lambda: free() < before - 20 * MIB, "the space is taken")
        os.unlink(self.at("f"))
        wait_until(lambda: free() > before - 8 * MIB, "the space is free again")

    def test_statfs_tells_of_a_whole_file_system(self):
        space = os.statvfs(self.here)
        self.assertGreater(space.f_blocks, 0)
        self.assertLessEqual(space.f_bavail, space.f_bfree)
        self.assertLessEqual(space.f_bfree, space.f_blocks)
        self.assertEqual(space.f_namemax, 255)
        self.assertGreaterEqual(space.f_bsize, 512)


class Names(SharedMountTest):
    def test_renaming_replaces_what_may_be_replaced(self):
        write_file(self.at("f"), b"f")
        write_file(self.at("g"), b"g")
        inode = os.stat(self.at("f")).st_ino
        os.rename(self.at("f"), self.at("g"))
        self.assertEqual((os.listdir(self.here), read_file(self.at("g"))), (["g"], b"f"))
        self.assertEqual(os.stat(self.at("g")).st_ino, inode)
        for name in ("d", "d/sub", "empty"):
            os.mkdir(self.at(name))
        self.assert_errno(errno.EISDIR, os.rename, self.at("g"), self.at("empty"))
        self.assert_errno(errno.ENOTDIR, os.rename, self.at("d"), self.at("g"))
        self.assert_errno((errno.ENOTEMPTY, errno.EEXIST), os.rename, self.at("empty"), self.at("d"))
        self.assert_errno(errno.EINVAL, os.rename, self.at("d"), self.at("d/sub/below"))
        self.assert_errno(errno.ENOENT, os.rename, self.at("none"), self.at("x"))
        self.assert_errno(errno.ENOENT, os.rename, self.at("g"), self.at("none/x"))
        self.assert_errno(errno.ENOTDIR, os.rename, self.at("g"), self.at("g/x"))
        os.rename(self.at("d"), self.at("empty"))
        self.assertEqual(os.listdir(self.at("empty")), ["sub"])
        os.rename(self.at("empty"), self.at("empty"))
        self.assertEqual(sorted(os.listdir(self.here)), ["empty", "g"])

    def test_renaming_a_link_over_its_file_does_nothing(self):
        write_file(self.at("f"), b"f")
        os.link(self.at("f"), self.at("g"))
        os.rename(self.at("f"), self.at("g"))
        self.assertEqual(sorted(os.listdir(self.here)), ["f", "g"])
        self.assertEqual(os.stat(self.at("f")).st_nlink, 2)

    def test_what_is_renamed_over_lives_while_it_is_open(self):
        write_file(self.at("old"), b"old")
        fd = self.opened(self.at("old"), os.O_RDONLY)
        write_file(self.at("new"), b"new")
        os.rename(self.at("new"), self.at("old"))
        self.assertEqual(os.read(fd, 10), b"old")
        self.assertEqual(os.fstat(fd).st_nlink, 0)
        self.assertEqual(read_file(self.at("old")), b"new")

    def test_renaming_without_replacing_and_exchanging(self):
        write_file(self.at("f"), b"f")
        write_file(self.at("g"), b"g")
        self.assert_errno(errno.EEXIST, renameat2, self.at("f"), self.at("g"), RENAME_NOREPLACE)
        renameat2(self.at("f"), self.at("h"), RENAME_NOREPLACE)
        self.assertEqual(sorted(os.listdir(self.here)), ["g", "h"])
        os.makedirs(self.at("d/below"))
        renameat2(self.at("g"), self.at("d"), RENAME_EXCHANGE)
        self.assertEqual(read_file(self.at("d")), b"g")
        self.assertEqual(os.listdir(self.at("g")), ["below"])
        renameat2(self.at("h"), self.at("d"), RENAME_EXCHANGE)
        self.assertEqual((read_file(self.at("h")), read_file(self.at("d"))), (b"g", b"f"))
        self.assert_errno(errno.ENOENT, renameat2, self.at("h"), self.at("none"), RENAME_EXCHANGE)
        self.assert_errno(errno.EINVAL, renameat2, self.at("h"), self.at("d"), RENAME_EXCHANGE | RENAME_NOREPLACE)

    def test_an_open_directory_moves_with_its_files(self):
        os.makedirs(self.at("d/e"))
        fd = self.opened(self.at("d/e/f"))
        directory = self.opened(self.at("d/e"), os.O_RDONLY)
        os.mkdir(self.at("x"))
        os.rename(self.at("d"), self.at("x/d"))
        os.write(fd, b"written after")
        self.close(fd)
        self.assertEqual(read_file(self.at("x/d/e/f")), b"written after")
        self.assertEqual(os.stat("f", dir_fd=directory).st_size, 13)
        self.assertEqual(os.stat("../..", dir_fd=directory).st_ino, os.stat(self.at("x")).st_ino)

    def test_hard_links_are_one_file(self):
        os.mkdir(self.at("d"))
        write_file(self.at("f"), b"one")
        os.link(self.at("f"), self.at("d/g"))
        self.assertEqual(os.stat(self.at("f")).st_ino, os.stat(self.at("d/g")).st_ino)
        self.assertEqual(os.stat(self.at("d/g")).st_nlink, 2)
        with open(self.at("d/g"), "ab") as file:
            file.write(b" file")
        self.assertEqual(read_file(self.at("f")), b"one file")
        os.chmod(self.at("f"), 0o640)
        self.assertEqual(stat.S_IMODE(os.stat(self.at("d/g")).st_mode), 0o640)
        os.unlink(self.at("f"))
        self.assertEqual((os.stat(self.at("d/g")).st_nlink, read_file(self.at("d/g"))), (1, b"one file"))
        self.assert_errno(errno.EEXIST, os.link, self.at("d/g"), self.at("d"))
        self.assert_errno(errno.EPERM, os.link, self.at("d"), self.at("e"))
        self.assert_errno(errno.ENOENT, os.link, self.at("f"), self.at("e"))

    def test_symbolic_links_are_followed_and_told(self):
        long = "x/" * 2000 + "y"
        for name, target in (("dangling", "no such file"), ("up", "../" + self.name), ("me", "me"), ("long", long),
                             ("odd", "\u00fc \n'\"")):
            os.symlink(target, self.at(name))
            self.assertEqual(os.readlink(self.at(name)), target)
            self.assertEqual(os.lstat(self.at(name)).st_size, len(os.fsencode(target)))
            self.assertTrue(stat.S_ISLNK(os.lstat(self.at(name)).st_mode))
        self.assert_errno(errno.ENOENT, os.stat, self.at("dangling"))
        self.assert_errno(errno.ELOOP, os.stat, self.at("me"))
        self.assert_errno(errno.EINVAL, os.readlink, self.here)
        write_file(self.at("dangling"), b"made through it")
        self.assertEqual(read_file(self.at("no such file")), b"made through it")
        self.assertEqual(os.stat(self.at("up")).st_ino, os.stat(self.here).st_ino)
        os.rename(self.at("up"), self.at("renamed"))
        os.unlink(self.at("dangling"))
        self.assertTrue(os.path.exists(self.at("no such file")))
        # A link to a link is to the link itself, where told so.
        os.link(self.at("me"), self.at("me too"), follow_symlinks=False)
        self.assertEqual(os.readlink(self.at("me too")), "me")

    def test_directories_are_made_and_removed_by_their_rules(self):
        os.mkdir(self.at("d"))
        self.assert_errno(errno.EEXIST, os.mkdir, self.at("d"))
        self.assert_errno(errno.ENOENT, os.mkdir, self.at("none/d"))
        write_file(self.at("d/f"), b"")
        self.assert_errno(errno.ENOTDIR, os.mkdir, self.at("d/f/g"))
        self.assert_errno((errno.ENOTEMPTY, errno.EEXIST), os.rmdir, self.at("d"))
        self.assert_errno(errno.ENOTDIR, os.rmdir, self.at("d/f"))
        self.assert_errno(errno.EISDIR, os.unlink, self.at("d"))
        directory = self.opened(self.at("d"), os.O_RDONLY)
        os.unlink(self.at("d/f"))
        os.rmdir(self.at("d"))
        self.assert_errno(errno.ENOENT, os.rmdir, self.at("d"))
        # A removed one that is open takes nothing.
        self.assert_errno((errno.ENOENT, errno.ESTALE), os.open, "f", os.O_CREAT | os.O_WRONLY, dir_fd=directory)
        self.assertEqual(os.listdir(self.here), [])

    def test_names_may_be_long_and_odd(self):
        longest = "n" * 255
        names = [longest, "\u00e4" * 127, "a b", " ", "-rf", "new\nline", "tab\t", "quote'\"`$x", "back\\slash", "*?[a]",
                 "\u65e5\u672c\u8a9e", "\U0001f600", "e\u0301", "\u00e9", "..a", "...", ".hidden", "a" * 200 + ".tmp", "%2f",
                 "CON", "~", "#", "name:with:colons", "\x01\x7f"]
        for number, name in enumerate(names):
            write_file(self.at(name), b"%d" % number)
        self.assertEqual(sorted(os.listdir(self.here)), sorted(names))
        for number, name in enumerate(names):
            self.assertEqual(read_file(self.at(name)), b"%d" % number)
        self.assert_errno(errno.ENAMETOOLONG, os.open, self.at("n" * 256), os.O_CREAT | os.O_WRONLY)
        self.assert_errno(errno.ENAMETOOLONG, os.mkdir, self.at("n" * 256))
        self.assert_errno(errno.ENAMETOOLONG, os.rename, self.at("a b"), self.at("n" * 256))
        self.assert_errno(errno.ENAMETOOLONG, os.stat, self.at("n" * 256))
        for name in names:
            os.unlink(self.at(name))
        self.assertEqual(os.listdir(self.here), [])

    @needs_cairn("a local file system takes any bytes")
    def test_a_name_that_is_not_utf_8_is_refused(self):
        for name in (b"\xff\xfe", b"latin \xe9", b"cut off \xe6\x97"):
            path = os.path.join(os.fsencode(self.here), name)
            self.assert_errno(errno.EILSEQ, os.mkdir, path)
            self.assert_errno(errno.EILSEQ, os.open, path, os.O_CREAT | os.O_WRONLY)
        self.assertEqual(os.listdir(self.here), [])

    def test_deep_directories(self):
        fd = os.open(self.here, os.O_RDONLY)
        for depth in range(150):
            name = f"directory-{depth:03}-" + "x" * 50
            os.mkdir(name, dir_fd=fd)
            below = os.open(name, os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = below
        write_file(f"/proc/self/fd/{fd}/file", b"deep")
        self.assertEqual(os.stat("file", dir_fd=fd).st_size, 4)
        for _ in range(150):
            above = os.open("..", os.O_RDONLY, dir_fd=fd)
            os.close(fd)
            fd = above
        self.assertEqual(os.fstat(fd).st_ino, os.stat(self.here).st_ino)
        os.close(fd)

    def test_pipes_and_sockets_work_by_their_names(self):
        os.mkfifo(self.at("pipe"), 0o600)
        self.assertTrue(stat.S_ISFIFO(os.stat(self.at("pipe")).st_mode))
        reader = self.peer()
        reader.tell(read_file, self.at("pipe"))
        write_file(self.at("pipe"), b"through the pipe", os.O_WRONLY)
        self.assertEqual(reader.answer(), b"through the pipe")
        # The address of a socket is shorter than a path may be.
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            at = f"/proc/self/fd/{self.opened(self.here, os.O_RDONLY)}/socket"
            server.bind(at)
            server.listen()
            client.connect(at)
            self.assertTrue(stat.S_ISSOCK(os.stat(self.at("socket")).st_mode))
        os.mknod(self.at("null"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        self.assertEqual(os.stat(self.at("null")).st_rdev, os.makedev(1, 3))


class Listing(SharedMountTest):
    COUNT = 5000

    def fill(self, prefix="f", count=COUNT):
        names = [f"{prefix}{number:05}" for number in range(count)]
        for name in names:
            os.close(os.open(self.at(name), os.O_CREAT | os.O_WRONLY))
        return names

    def test_many_entries_are_listed_once_each(self):
        names = self.fill()
        os.mkdir(self.at("directory"))
        os.symlink("x", self.at("link"))
        found = {entry.name: entry for entry in os.scandir(self.here)}
        self.assertEqual(sorted(found), sorted([*names, "directory", "link"]))
        self.assertEqual(len(os.listdir(self.here)), len(names) + 2)
        self.assertTrue(found["directory"].is_dir(follow_symlinks=False))
        self.assertTrue(found["link"].is_symlink())
        for name in names[::500]:
            self.assertTrue(found[name].is_file(follow_symlinks=False))
            self.assertEqual(found[name].inode(), os.stat(self.at(name)).st_ino)

    def test_what_stays_is_listed_once_while_others_come_and_go(self):
        stays = set(self.fill("stays", 2000))
        goes = self.fill("goes", 2000)
        listed = []
        with os.scandir(self.here) as entries:
            for number, entry in enumerate(entries):
                listed.append(entry.name)
                if number < 1500:
                    os.unlink(self.at(goes[number]))
                    os.close(os.open(self.at(f"comes{number:05}"), os.O_CREAT | os.O_WRONLY))
                    if number % 10 == 0:
                        os.rename(self.at(goes[1500 + number // 10]), self.at(f"moved{number:05}"))
        self.assertEqual(len(listed), len(set(listed)), "something was listed twice")
        self.assertEqual(stays - set(listed), set(), "something that stayed was not listed")
        self.assertEqual(len(os.listdir(self.here)), 4000)

    def test_all_of_a_large_directory_can_be_removed_while_it_is_read(self):
        self.fill(count=3000)
        with os.scandir(self.here) as entries:
            for entry in entries:
                os.unlink(entry.path)
        self.assertEqual(os.listdir(self.here), [])

    def test_a_directory_is_read_again_from_where_one_was(self):
        names = self.fill(count=700)
        libc.opendir.restype = ctypes.c_void_p
        libc.readdir.restype = ctypes.c_void_p
        libc.telldir.restype = ctypes.c_long
        stream = ctypes.c_void_p(libc.opendir(os.fsencode(self.here)))
        self.addCleanup(libc.closedir, stream)

        def next_name():
            entry = libc.readdir(stream)
            return entry and ctypes.string_at(entry + 19)  # behind d_ino, d_off, d_reclen and d_type

        all_names, positions = [], []
        while True:
            positions.append(libc.telldir(stream))
            name = next_name()
            if name is None:
                break
            all_names.append(name.decode())
        self.assertEqual(sorted(all_names), sorted([*names, ".", ".."]))
        for number in (600, 3, 350, 701):
            libc.seekdir(stream, ctypes.c_long(positions[number]))
            self.assertEqual(next_name().decode(), all_names[number])
        write_file(self.at("new"), b"")
        libc.rewinddir(stream)
        again = []
        while (name := next_name()) is not None:
            again.append(name.decode())
        self.assertEqual(sorted(again), sorted([*names, "new", ".", ".."]))

    def test_what_changes_while_it_is_listed_is_not_taken_for_what_it_was(self):
        names = [f"f{number:04}" for number in range(1200)]
        for name in names:
            write_file(self.at(name), b"x")
        # By a mount that knows nothing of them yet, and has them listed from a page read before the changes.
        with os.scandir(self.there) as listing:
            seen = {next(listing).name}
            for name in names[::40]:
                os.unlink(self.also(name))
            for name in names[20::40]:
                with open(self.also(name), "ab") as file:
                    file.write(b"y" * 10)
            for name in names[10::40]:
                os.rename(self.also(name), self.also("r" + name))
            for name in names[30::40]:
                os.chmod(self.also(name), 0o600)
            seen.update(entry.name for entry in listing)
        self.assertLessEqual(set(names[5::10]), seen)
        for name in names[::40] + names[10::40]:
            self.assert_errno(errno.ENOENT, os.stat, self.also(name))
        for name in names[20::40]:
            self.assertEqual(read_file(self.also(name)), b"x" + b"y" * 10)
        for name in names[30::40]:
            self.assertEqual(stat.S_IMODE(os.stat(self.also(name)).st_mode), 0o600)


class Attributes(SharedMountTest):
    def test_times_have_nanoseconds(self):
        write_file(self.at("f"), b"")
        for accessed, modified in ((1, 2), (1_600_000_000_123_456_789, 1_700_000_000_987_654_321),
                                   (-5 * SECOND_NS + 1, 4_400_000_000 * SECOND_NS + 3)):
            os.utime(self.at("f"), ns=(accessed, modified))
            found = os.stat(self.at("f"))
            self.assertEqual((found.st_atime_ns, found.st_mtime_ns), (accessed, modified))
        os.symlink("f", self.at("link"))
        os.utime(self.at("link"), ns=(7, 8), follow_symlinks=False)
        self.assertEqual(os.lstat(self.at("link")).st_mtime_ns, 8)
        self.assertNotEqual(os.stat(self.at("link")).st_mtime_ns, 8)

    def changed(self, path, change, *times):
        """Makes the change; those of the times that are given, and no others, went on."""
        before = os.stat(path)
        # The clock of files is coarse: until it goes on, nothing could be told.
        wait_until(lambda: self.now() > max(before.st_mtime_ns, before.st_ctime_ns), "the clock goes on")
        change()
        after = os.stat(path)
        for name in ("st_mtime_ns", "st_ctime_ns"):
            if name in times:
                self.assertGreater(getattr(after, name), getattr(before, name), name)
            else:
                self.assertEqual(getattr(after, name), getattr(before, name), name)

    def now(self):
        """Of the clock that stamps files here."""
        write_file(self.at("clock"), b"x")
        return os.stat(self.at("clock")).st_mtime_ns

    def test_changes_set_the_times_that_they_should(self):
        both = ("st_mtime_ns", "st_ctime_ns")
        os.mkdir(self.at("d"))
        directory, path = self.at("d"), self.at("d/f")
        self.changed(directory, lambda: write_file(path, b"1"), *both)
        self.changed(path, lambda: write_file(path, b"2", os.O_WRONLY), *both)
        self.changed(directory, lambda: write_file(path, b"2", os.O_WRONLY))
        self.changed(path, lambda: os.truncate(path, 10), *both)
        self.changed(path, lambda: os.truncate(path, 10), *both)
        self.changed(path, lambda: os.chmod(path, 0o600), "st_ctime_ns")
        self.changed(path, lambda: os.chown(path, 1, 1), "st_ctime_ns")
        self.changed(path, lambda: os.setxattr(path, "user.a", b"1"), "st_ctime_ns")
        self.changed(path, lambda: os.link(path, self.at("g")), "st_ctime_ns")
        self.changed(path, lambda: read_file(path))
        self.changed(directory, lambda: os.rename(path, path + "2"), *both)
        self.changed(self.at("g"), lambda: os.unlink(path + "2"), "st_ctime_ns")
        self.changed(directory, lambda: os.mkdir(self.at("d/sub")), *both)
        self.changed(directory, lambda: os.rmdir(self.at("d/sub")), *both)

    def test_modes_and_owners_are_kept(self):
        write_file(self.at("f"), b"")
        for mode in (0o000, 0o777, 0o7777, 0o4711, 0o644):
            os.chmod(self.at("f"), mode)
            self.assertEqual(stat.S_IMODE(os.stat(self.at("f")).st_mode), mode)
        os.chown(self.at("f"), 2**31 + 7, 2**31 + 9)
        found = os.stat(self.at("f"))
        self.assertEqual((found.st_uid, found.st_gid), (2**31 + 7, 2**31 + 9))
        os.chown(self.at("f"), -1, 5)
        self.assertEqual((os.stat(self.at("f")).st_uid, os.stat(self.at("f")).st_gid), (2**31 + 7, 5))
        os.symlink("f", self.at("link"))
        os.lchown(self.at("link"), 6, 6)
        self.assertEqual((os.lstat(self.at("link")).st_uid, os.stat(self.at("f")).st_gid), (6, 5))

    def test_new_files_get_the_mode_less_the_mask(self):
        before = os.umask(0o027)
        self.addCleanup(os.umask, before)
        write_file(self.at("f"), b"", mode=0o666)
        os.mkdir(self.at("d"), 0o777)
        os.mkfifo(self.at("p"), 0o666)
        modes = [stat.S_IMODE(os.stat(self.at(name)).st_mode) for name in ("f", "d", "p")]
        self.assertEqual(modes, [0o640, 0o750, 0o640])

    def test_inodes_are_told_apart(self):
        names = [f"f{number}" for number in range(100)]
        for name in names:
            write_file(self.at(name), b"")
        inodes = [os.stat(self.at(name)).st_ino for name in names]
        self.assertEqual(len(set(inodes)), 100)
        os.rename(self.at("f0"), self.at("g0"))
        self.assertEqual(os.stat(self.at("g0")).st_ino, inodes[0])
        self.assertEqual({os.stat(self.at(name)).st_dev for name in names[1:]}, {os.stat(self.here).st_dev})

    def test_extended_attributes(self):
        os.mkdir(self.at("d"))
        write_file(self.at("f"), b"")
        for path in (self.at("f"), self.at("d")):
            self.assertEqual(os.listxattr(path), [])
            os.setxattr(path, "user.one", b"1")
            os.setxattr(path, "user.binary", bytes(range(256)))
            os.setxattr(path, "user.empty", b"")
            os.setxattr(path, "user.\u00fcml\u00e4ut", b"x")
            self.assertEqual(sorted(os.listxattr(path)), ["user.binary", "user.empty", "user.one", "user.\u00fcml\u00e4ut"])
            self.assertEqual(os.getxattr(path, "user.binary"), bytes(range(256)))
            self.assertEqual(os.getxattr(path, "user.empty"), b"")
            self.assert_errno(errno.EEXIST, os.setxattr, path, "user.one", b"2", os.XATTR_CREATE)
            os.setxattr(path, "user.one", b"two", os.XATTR_REPLACE)
            self.assertEqual(os.getxattr(path, "user.one"), b"two")
            self.assert_errno(errno.ENODATA, os.setxattr, path, "user.none", b"2", os.XATTR_REPLACE)
            self.assert_errno(errno.ENODATA, os.getxattr, path, "user.none")
            os.removexattr(path, "user.one")
            self.assert_errno(errno.ENODATA, os.removexattr, path, "user.one")
            os.setxattr(path, "user.large", content(2000))
            self.assertEqual(os.getxattr(path, "user.large"), content(2000))
            self.assert_errno((errno.ERANGE, errno.E2BIG), os.setxattr, path, "user." + "n" * 300, b"")
        os.rename(self.at("f"), self.at("g"))
        self.assertEqual(os.getxattr(self.at("g"), "user.binary"), bytes(range(256)))


class Permissions(SharedMountTest):
    """What another user than root may do. That user works in the directory, which its parents may not let it reach."""

    def setUp(self):
        super().setUp()
        os.chmod(self.here, 0o777)
        self.other = self.peer(self.here, OTHER_UID, OTHER_GID)

    def refused(self, number, function, *arguments, **named):
        self.assert_errno(number, self.other.ask, function, *arguments, **named)

    def test_modes_say_who_may_read_and_write(self):
        write_file(self.at("f"), b"content")
        os.chmod(self.at("f"), 0o640)
        self.refused(errno.EACCES, read_file, "f")
        self.refused(errno.EACCES, write_file, "f", b"x")
        self.refused(errno.EPERM, os.chmod, "f", 0o777)
        self.refused(errno.EPERM, os.chown, "f", OTHER_UID, -1)
        self.refused(errno.EPERM, os.utime, "f", (1, 1))
        os.chown(self.at("f"), -1, OTHER_GID)
        self.assertEqual(self.other.ask(read_file, "f"), b"content")
        self.refused(errno.EACCES, write_file, "f", b"x")
        os.chmod(self.at("f"), 0o602)
        self.refused(errno.EACCES, write_file, "f", b"x")
        os.chown(self.at("f"), OTHER_UID, 0)
        self.other.ask(write_file, "f", b"mine")
        self.other.ask(os.chmod, "f", 0o400)
        self.refused(errno.EACCES, write_file, "f", b"x")
        self.assertEqual(self.other.ask(read_file, "f"), b"mine")

    def test_groups_that_one_is_also_in_count(self):
        write_file(self.at("f"), b"for the group", mode=0o660)
        os.chmod(self.at("f"), 0o660)
        os.chown(self.at("f"), -1, 777)
        member = self.peer(self.here, OTHER_UID, OTHER_GID, groups=(5, 777))
        self.assertEqual(member.ask(read_file, "f"), b"for the group")
        member.ask(write_file, "f", b"by a member")
        self.refused(errno.EACCES, read_file, "f")

    def test_directories_are_searched_and_changed_by_their_modes(self):
        os.makedirs(self.at("d/e"))
        write_file(self.at("d/f"), b"f")
        os.chmod(self.at("d"), 0o744)
        self.assertEqual(sorted(self.other.ask(os.listdir, "d")), ["e", "f"])
        self.refused(errno.EACCES, read_file, "d/f")
        os.chmod(self.at("d"), 0o711)
        os.chown(self.at("d/f"), OTHER_UID, OTHER_GID)
        self.refused(errno.EACCES, os.listdir, "d")
        self.assertEqual(self.other.ask(read_file, "d/f"), b"f")
        for call in ((os.mkdir, "d/new"), (os.unlink, "d/f"), (os.rename, "d/f", "d/g"), (os.rmdir, "d/e"),
                     (os.link, "d/f", "d/g"), (os.symlink, "x", "d/l"), (write_file, "d/new", b"")):
            self.refused(errno.EACCES, *call)
        os.chmod(self.at("d"), 0o733)
        self.other.ask(os.rename, "d/f", "d/g")
        self.other.ask(os.mkdir, "d/new")
        self.assertEqual(os.stat(self.at("d/new")).st_uid, OTHER_UID)

    def test_what_one_makes_is_ones_own(self):
        self.other.ask(write_file, "f", b"")
        self.other.ask(os.mkdir, "d")
        self.other.ask(os.symlink, "f", "l")
        self.other.ask(os.mkfifo, "p")
        for name in ("f", "d", "l", "p"):
            found = os.lstat(self.at(name))
            self.assertEqual((found.st_uid, found.st_gid), (OTHER_UID, OTHER_GID), name)
        # Not even with a mode that forbids it, for who has just made it.
        self.other.ask(write_file, "locked", b"content", mode=0o000)
        self.assertEqual(read_file(self.at("locked")), b"content")

    def test_a_set_group_id_directory_passes_its_group_on(self):
        os.mkdir(self.at("d"))
        os.chown(self.at("d"), -1, 777)
        os.chmod(self.at("d"), 0o2777)
        self.other.ask(write_file, "d/f", b"")
        self.other.ask(os.mkdir, "d/e")
        self.other.ask(write_file, "d/e/g", b"")
        for name in ("d/f", "d/e", "d/e/g"):
            self.assertEqual(os.stat(self.at(name)).st_gid, 777, name)
        self.assertTrue(os.stat(self.at("d/e")).st_mode & stat.S_ISGID)
        self.assertFalse(os.stat(self.at("d/f")).st_mode & stat.S_ISGID)

    def test_in_a_sticky_directory_only_owners_remove(self):
        os.mkdir(self.at("d"))
        os.chmod(self.at("d"), 0o1777)
        write_file(self.at("d/root's"), b"")
        os.chmod(self.at("d/root's"), 0o666)
        self.other.ask(write_file, "d/mine", b"")
        self.refused((errno.EPERM, errno.EACCES), os.unlink, "d/root's")
        self.refused((errno.EPERM, errno.EACCES), os.rename, "d/root's", "d/x")
        self.refused((errno.EPERM, errno.EACCES), os.rename, "d/mine", "d/root's")
        third = self.peer(self.here, OTHER_UID + 1, OTHER_GID)
        self.assert_errno((errno.EPERM, errno.EACCES), third.ask, os.unlink, "d/mine")
        self.other.ask(os.rename, "d/mine", "d/still mine")
        self.other.ask(os.unlink, "d/still mine")
        self.assertEqual(os.listdir(self.at("d")), ["root's"])

    def test_who_writes_or_changes_owners_takes_set_id_bits_away(self):
        for change in ((write_file, "f", b"x"), (os.truncate, "f", 1)):
            write_file(self.at("f"), b"12")
            os.chmod(self.at("f"), 0o6777)
            self.other.ask(*change)
            self.assertEqual(stat.S_IMODE(os.stat(self.at("f")).st_mode), 0o777, change[0].__name__)
        os.chmod(self.at("f"), 0o6755)
        os.chown(self.at("f"), OTHER_UID, OTHER_GID)
        self.assertEqual(stat.S_IMODE(os.stat(self.at("f")).st_mode), 0o755)
        # Of a group that one is not in, set-group-ID cannot be had.
        os.chown(self.at("f"), OTHER_UID, 777)
        self.other.ask(os.chmod, "f", 0o2755)
        self.assertEqual(stat.S_IMODE(os.stat(self.at("f")).st_mode), 0o755)

    def test_a_descriptor_keeps_the_rights_it_was_opened_with(self):
        self.other.ask(write_file, "f", b"12345")
        fd = self.other.ask(os.open, "f", os.O_RDWR)
        os.chown(self.at("f"), 0, 0)
        os.chmod(self.at("f"), 0o600)
        self.assertEqual(self.other.ask(os.pread, fd, 10, 0), b"12345")
        self.other.ask(os.pwrite, fd, b"after", 0)
        self.refused(errno.EACCES, read_file, "f")
        self.assertEqual(read_file(self.at("f")), b"after")

    def test_programs_run_from_it(self):
        script = self.at("program")
        write_file(script, b"#!/bin/sh\nexit 7\n")
        self.assert_errno(errno.EACCES, os.execv, script, [script])
        os.chmod(script, 0o755)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(os.spawnv(os.P_NOWAIT, script, [script]), 0)[1]), 7)


if __name__ == "__main__":
    unittest.main()
