"""Goal: POSIX and BSD locks exclude who they should, in one mount and across two, and end with who has them. Method: a
process of its own for each side, in mounts of a real node."""

import errno
import fcntl
import os
import struct
import unittest

from mount_harness import SharedMountTest, read_file, write_file


class LockTest(SharedMountTest):
    def their_path(self):
        """The file as the other process opens it."""
        raise NotImplementedError

    def setUp(self):
        super().setUp()
        self.path = self.at("f")
        write_file(self.path, bytes(1000))
        # Before anything is open that it would have as well.
        self.other = self.peer()
        self.theirs = self.other.ask(os.open, self.their_path(), os.O_RDWR)
        self.fd = self.opened(self.path, os.O_RDWR)

    def test_ranges_exclude_each_other(self):
        fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 100, 200)
        for start, length in ((200, 100), (250, 10), (150, 51), (299, 1000)):
            self.assert_errno((errno.EAGAIN, errno.EACCES), self.other.ask, fcntl.lockf, self.theirs,
                              fcntl.LOCK_SH | fcntl.LOCK_NB, length, start)
        for start, length in ((0, 200), (300, 0)):
            self.other.ask(fcntl.lockf, self.theirs, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        # A part is let go of, and another becomes shared.
        fcntl.lockf(self.fd, fcntl.LOCK_UN, 50, 200)
        fcntl.lockf(self.fd, fcntl.LOCK_SH, 50, 250)
        self.other.ask(fcntl.lockf, self.theirs, fcntl.LOCK_EX | fcntl.LOCK_NB, 50, 200)
        self.other.ask(fcntl.lockf, self.theirs, fcntl.LOCK_SH | fcntl.LOCK_NB, 50, 250)
        self.assert_errno((errno.EAGAIN, errno.EACCES), self.other.ask, fcntl.lockf, self.theirs,
                          fcntl.LOCK_EX | fcntl.LOCK_NB, 50, 250)

    def test_closing_any_descriptor_lets_go(self):
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        os.close(os.open(self.path, os.O_RDONLY))
        self.other.ask(fcntl.lockf, self.theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_who_waits_gets_the_lock_when_it_is_free(self):
        for lock in (fcntl.lockf, fcntl.flock):
            with self.subTest(lock=lock.__name__):
                lock(self.fd, fcntl.LOCK_EX)
                self.other.tell(lock, self.theirs, fcntl.LOCK_EX)
                self.assertFalse(self.other.answered(0.3))
                lock(self.fd, fcntl.LOCK_UN)
                self.other.answer()
                self.assert_errno((errno.EAGAIN, errno.EACCES), lock, self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.other.ask(lock, self.theirs, fcntl.LOCK_UN)

    def test_locks_end_with_their_process(self):
        for lock in (fcntl.lockf, fcntl.flock):
            with self.subTest(lock=lock.__name__):
                dying = self.peer()
                dying.ask(lock, dying.ask(os.open, self.their_path(), os.O_RDWR), fcntl.LOCK_EX)
                self.assert_errno((errno.EAGAIN, errno.EACCES), lock, self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                dying.end()
                lock(self.fd, fcntl.LOCK_EX)
                lock(self.fd, fcntl.LOCK_UN)

    def test_whole_files_are_locked_by_open_descriptions(self):
        again = self.opened(self.path, os.O_RDWR)
        fcntl.flock(self.fd, fcntl.LOCK_SH)
        self.other.ask(fcntl.flock, self.theirs, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self.assert_errno(errno.EAGAIN, fcntl.flock, again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.other.ask(fcntl.flock, self.theirs, fcntl.LOCK_UN)
        duplicate = os.dup(self.fd)
        self.close(self.fd)
        # The duplicate is the same open description.
        self.assert_errno(errno.EAGAIN, fcntl.flock, again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(duplicate)
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def test_a_lock_says_who_has_it(self):
        self.other.ask(fcntl.lockf, self.theirs, fcntl.LOCK_EX, 10, 50)
        # struct flock: type, whence, start, length, pid
        form = "hhxxxxqqixxxx"
        asked = struct.pack(form, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, start, length, pid = struct.unpack(form, fcntl.fcntl(self.fd, fcntl.F_GETLK, asked))
        self.assertEqual((kind, start, length), (fcntl.F_WRLCK, 50, 10))
        if self.their_path() == self.path:  # else it may be another machine's
            self.assertEqual(pid, self.other.pid)
        asked = struct.pack(form, fcntl.F_RDLCK, os.SEEK_SET, 60, 0, 0)
        self.assertEqual(struct.unpack(form, fcntl.fcntl(self.fd, fcntl.F_GETLK, asked))[0], fcntl.F_UNLCK)

    def test_waiting_can_be_interrupted(self):
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        waiting = self.peer()
        theirs = waiting.ask(os.open, self.their_path(), os.O_RDWR)
        waiting.tell(fcntl.lockf, theirs, fcntl.LOCK_EX)
        self.assertFalse(waiting.answered(0.2))
        waiting.end()
        fcntl.lockf(self.fd, fcntl.LOCK_UN)
        # It has not got the lock after its end.
        fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


class OneMount(LockTest):
    def their_path(self):
        return self.at("f")


class TwoMounts(LockTest):
    def their_path(self):
        return self.also("f")

    def test_a_counter_under_a_lock_counts_all(self):
        for lock in (fcntl.lockf, fcntl.flock):
            with self.subTest(lock=lock.__name__):
                write_file(self.path, b"0")
                peers = [self.peer() for _ in range(4)]
                for number, peer in enumerate(peers):
                    peer.tell(count_up, self.at("f") if number % 2 else self.also("f"), lock, 40)
                for peer in peers:
                    peer.answer()
                self.assertEqual(read_file(self.path), b"160")
                self.assertEqual(read_file(self.also("f")), b"160")

    def test_what_was_written_under_a_lock_is_seen_by_who_gets_it_next(self):
        """Without closing the file in between: getting a lock is as good as opening."""
        for number in range(30):
            ours, theirs = (self.fd, self.theirs) if number % 2 else (self.theirs, self.fd)
            writer, reader = (direct, self.other.ask) if number % 2 else (self.other.ask, direct)
            written = b"%06d" % number * 100
            writer(fcntl.lockf, ours, fcntl.LOCK_EX)
            writer(os.pwrite, ours, written, 0)
            writer(fcntl.lockf, ours, fcntl.LOCK_UN)
            reader(fcntl.lockf, theirs, fcntl.LOCK_SH)
            self.assertEqual(reader(os.pread, theirs, 600, 0), written)
            reader(fcntl.lockf, theirs, fcntl.LOCK_UN)


def direct(function, *arguments):
    return function(*arguments)


def count_up(path, lock, times):
    """Adds one to the number in a file so many times, under a lock."""
    fd = os.open(path, os.O_RDWR)
    for _ in range(times):
        lock(fd, fcntl.LOCK_EX)
        number = int(os.pread(fd, 20, 0)) + 1
        os.pwrite(fd, b"%d" % number, 0)
        lock(fd, fcntl.LOCK_UN)
    os.close(fd)


del LockTest

if __name__ == "__main__":
    unittest.main()
