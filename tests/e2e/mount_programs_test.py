"""Goal: the programs that people use work in a mount as on a local disk: copying and packing, git, SQLite, compilers,
editors. Method: the programs themselves, and comparisons with what they do on a local disk."""

import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import unittest
import zipfile

from cairn_harness import MIB, PATIENCE_S, ROOT, wait_until
from mount_harness import SharedMountTest, described, needs_cairn, read_file, write_file

ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
               "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
# A few hundred files of this repository.
MATERIAL = ("common", "client", "tools")


def needs(*programs):
    missing = [each for each in programs if not shutil.which(each)]
    return unittest.skipIf(missing, f"{', '.join(missing)} is not installed: tools/setup --test brings it")


class ProgramTest(SharedMountTest):
    def run_program(self, *command, cwd=None, **options):
        """Its output; it is to succeed."""
        done = subprocess.run(command, cwd=cwd or self.here, env=ENVIRONMENT, capture_output=True, text=True,
                              timeout=3 * PATIENCE_S, check=False, **options)
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout[-1000:]}{done.stderr[-2000:]}")
        return done.stdout

    def material(self):
        """A local tree with all that trees may have."""
        top = os.path.join(self.dir, "material")
        for folder in MATERIAL:
            shutil.copytree(os.path.join(ROOT, folder), os.path.join(top, folder), symlinks=True,
                            ignore=shutil.ignore_patterns("__pycache__"))
        odd = os.path.join(top, "odd")
        os.makedirs(os.path.join(odd, "empty/below"))
        write_file(os.path.join(odd, "linked"), b"two names")
        os.link(os.path.join(odd, "linked"), os.path.join(odd, "again"))
        os.symlink("linked", os.path.join(odd, "symlink"))
        os.symlink("/nowhere", os.path.join(odd, "dangling"))
        os.mkfifo(os.path.join(odd, "pipe"))
        write_file(os.path.join(odd, "large"), random.Random(1).randbytes(6 * MIB + 7))
        write_file(os.path.join(odd, "n\u00e4me with\nnew line"), b"odd")
        with open(os.path.join(odd, "sparse"), "wb") as file:
            file.seek(20 * MIB)
            file.write(b"end")
        os.chmod(os.path.join(odd, "large"), 0o4711)
        os.chown(os.path.join(odd, "linked"), 1234, 4321)
        for number, (folder, _, names) in enumerate(os.walk(top, topdown=False)):
            for name in names:
                os.utime(os.path.join(folder, name), ns=(10**18 + number, 10**18 + number * 1001), follow_symlinks=False)
            os.utime(folder, ns=(10**18, 10**18 + number))
        return top

    def assert_same_trees(self, one, other):
        self.run_program("diff", "-r", "--no-dereference", "--exclude=pipe", one, other)
        expected, found = described(one), described(other)
        self.assertEqual(set(expected), set(found))
        for path, each in expected.items():
            self.assertEqual(found[path], each, path)


class Copying(ProgramTest):
    def test_cp(self):
        top = self.material()
        self.run_program("cp", "-a", "--sparse=always", top, self.at("copy"))
        self.assert_same_trees(top, self.at("copy"))
        self.assertEqual(os.stat(self.at("copy/odd/linked")).st_ino, os.stat(self.at("copy/odd/again")).st_ino)
        self.run_program("cp", "-a", self.at("copy"), self.at("within"))
        self.assert_same_trees(top, self.at("within"))
        self.run_program("cp", "-a", self.at("within"), os.path.join(self.dir, "back"))
        self.assert_same_trees(top, os.path.join(self.dir, "back"))
        self.run_program("mv", self.at("within"), self.at("moved"))
        self.run_program("rm", "-rf", self.at("moved"), self.at("copy"))
        self.assertEqual(os.listdir(self.here), [])

    def test_tar(self):
        top = self.material()
        archive = os.path.join(self.dir, "local.tar")
        self.run_program("tar", "-C", top, "--format=posix", "-cf", archive, ".")
        os.mkdir(self.at("unpacked"))
        self.run_program("tar", "-C", self.at("unpacked"), "-xpf", archive)
        self.assert_same_trees(top, self.at("unpacked"))
        self.run_program("tar", "-C", self.at("unpacked"), "--compare", "-f", archive)
        self.run_program("tar", "-C", self.at("unpacked"), "-cf", self.at("packed.tar"), ".")
        self.run_program("tar", "-C", top, "--compare", "-f", self.at("packed.tar"))

    @needs("rsync")
    def test_rsync(self):
        top = self.material()
        self.run_program("rsync", "-aH", f"{top}/", self.at("copy"))
        self.assert_same_trees(top, self.at("copy"))
        self.assertEqual(self.run_program("rsync", "-aH", "--checksum", "--itemize-changes", f"{top}/", self.at("copy")), "")
        with open(os.path.join(top, "odd/large"), "r+b") as file:
            file.seek(3 * MIB)
            file.write(b"changed")
        os.unlink(os.path.join(top, "odd/again"))
        # It takes times of one second for the same.
        os.utime(os.path.join(top, "odd"), ns=(10**18, 2 * 10**17 + 5))
        self.run_program("rsync", "-aH", "--delete", "--inplace", "--no-whole-file", f"{top}/", self.at("copy"))
        self.assert_same_trees(top, self.at("copy"))
        self.run_program("rsync", "-aH", f"{self.here}/copy/", os.path.join(self.dir, "back"))
        self.assert_same_trees(top, os.path.join(self.dir, "back"))

    def test_dd(self):
        written = random.Random(2).randbytes(20 * MIB)
        local = os.path.join(self.dir, "local")
        write_file(local, written)
        for number, flags in enumerate((["bs=1M"], ["bs=64K", "conv=fsync"], ["bs=1M", "oflag=direct"],
                                        ["bs=4K", "oflag=dsync", "count=100"], ["bs=5000", "conv=sparse"])):
            self.run_program("dd", f"if={local}", f"of={self.at(f'f{number}')}", *flags)
            expected = written[:100 * 4096] if "count=100" in flags else written
            self.assertEqual(read_file(self.at(f"f{number}")), expected, flags)
        self.run_program("dd", f"if={local}", f"of={self.at('f0')}", "bs=1M", "skip=3", "seek=7", "count=2", "conv=notrunc")
        expected = written[:7 * MIB] + written[3 * MIB:5 * MIB] + written[9 * MIB:]
        self.run_program("dd", f"if={self.at('f0')}", f"of={os.path.join(self.dir, 'back')}", "bs=1M", "iflag=direct")
        self.assertEqual(read_file(os.path.join(self.dir, "back")), expected)

    def test_python_s_own_ways(self):
        top = self.material()
        os.unlink(os.path.join(top, "odd/pipe"))
        shutil.copytree(top, self.at("copy"), symlinks=True)
        self.run_program("diff", "-r", "--no-dereference", top, self.at("copy"))
        shutil.move(self.at("copy"), self.at("moved"))
        shutil.copyfile(self.at("moved/odd/large"), self.at("large"))
        self.assertEqual(read_file(self.at("large")), read_file(os.path.join(top, "odd/large")))
        shutil.make_archive(self.at("packed"), "zip", self.at("moved/common"))
        with zipfile.ZipFile(self.at("packed.zip")) as archive:
            self.assertIsNone(archive.testzip())
            archive.extractall(self.at("unpacked"))
        self.run_program("diff", "-r", self.at("unpacked"), os.path.join(top, "common"))
        shutil.rmtree(self.at("moved"))
        self.assertEqual(sorted(os.listdir(self.here)), ["large", "packed.zip", "unpacked"])

    @needs_cairn("the command line takes part")
    def test_an_archive_goes_both_ways(self):
        top = os.path.join(ROOT, "common")
        self.run_program("tar", "-C", top, "-cf", self.at("mounted.tar"), ".")
        self.cli("get", self.in_cluster("mounted.tar"), os.path.join(self.dir, "got.tar"))
        self.run_program("tar", "-C", top, "--compare", "-f", os.path.join(self.dir, "got.tar"))
        self.run_program("tar", "-C", top, "-cf", os.path.join(self.dir, "local.tar"), ".")
        self.cli("put", os.path.join(self.dir, "local.tar"), self.in_cluster("put.tar"))
        self.run_program("tar", "-C", top, "--compare", "-f", self.at("put.tar"))


@needs("git")
class Git(ProgramTest):
    def git(self, *arguments, cwd):
        return self.run_program("git", "-c", "safe.directory=*", *arguments, cwd=cwd)

    def test_a_repository_is_cloned_worked_in_and_sound(self):
        top = self.material()
        os.unlink(os.path.join(top, "odd/pipe"))
        self.git("init", "-q", "-b", "main", cwd=top)
        for number in range(3):
            write_file(os.path.join(top, "generation"), b"%d" % number)
            self.git("add", "-A", cwd=top)
            self.git("commit", "-q", "-m", f"commit {number}", cwd=top)
        clone = self.at("clone")
        # Through the protocol, and not by linking the local repository's files.
        self.git("clone", "-q", f"file://{top}", clone, cwd=self.dir)
        self.assertEqual(self.git("status", "--porcelain", cwd=clone), "")
        self.git("fsck", "--full", "--strict", cwd=clone)
        self.assertEqual(self.git("rev-parse", "HEAD", cwd=clone), self.git("rev-parse", "HEAD", cwd=top))
        self.git("checkout", "-q", "-b", "work", cwd=clone)
        shutil.rmtree(os.path.join(clone, "client"))
        write_file(os.path.join(clone, "new"), b"new")
        self.git("add", "-A", cwd=clone)
        self.git("commit", "-q", "-m", "in the mount", cwd=clone)
        self.git("checkout", "-q", "main", cwd=clone)
        self.git("merge", "-q", "--no-ff", "-m", "merged", "work", cwd=clone)
        self.git("gc", "-q", "--aggressive", "--prune=now", cwd=clone)
        self.git("fsck", "--full", cwd=clone)
        self.assertEqual(self.git("status", "--porcelain", cwd=clone), "")
        self.git("clone", "-q", clone, os.path.join(self.dir, "back"), cwd=self.dir)
        self.assertEqual(self.git("log", "--format=%H", cwd=clone),
                         self.git("log", "--format=%H", cwd=os.path.join(self.dir, "back")))


class Sqlite(ProgramTest):
    MODES = ("delete", "truncate", "persist", "wal")

    def check(self, path, rows):
        with sqlite3.connect(path, timeout=PATIENCE_S) as database:
            self.assertEqual(database.execute("pragma integrity_check").fetchall(), [("ok",)])
            self.assertEqual(database.execute("select count(*), sum(length(content)) from t").fetchone(), rows)
        database.close()

    def test_each_journal_mode(self):
        for mode in self.MODES:
            with self.subTest(mode=mode):
                path = self.at(f"{mode}.db")
                database = sqlite3.connect(path)
                self.assertEqual(database.execute(f"pragma journal_mode={mode}").fetchone(), (mode,))
                database.execute("create table t(number integer primary key, content blob)")
                for batch in range(10):
                    with database:
                        database.executemany("insert into t values(?, ?)", [
                            (100 * batch + number, random.Random(number).randbytes(500)) for number in range(100)])
                with self.assertRaises(ZeroDivisionError), database:
                    database.execute("delete from t")
                    raise ZeroDivisionError
                with database:
                    database.execute("delete from t where number % 10 = 0")
                database.execute("vacuum")
                database.close()
                self.check(path, (900, 450_000))
                shutil.copy(path, os.path.join(self.dir, "copy.db"))
                self.check(os.path.join(self.dir, "copy.db"), (900, 450_000))

    def test_a_killed_writer_leaves_a_sound_database(self):
        for mode in self.MODES:
            with self.subTest(mode=mode):
                path = self.at(f"{mode}.db")
                for cycle in range(3):
                    peer = self.peer()
                    peer.tell(insert_for_ever, path, mode)
                    # Far enough to be in the middle of something.
                    wait_until(lambda: count_rows(path) > 40 * (cycle + 1), "rows are inserted")
                    peer.end(signal.SIGKILL)
                    database = sqlite3.connect(path, timeout=PATIENCE_S)
                    self.assertEqual(database.execute("pragma integrity_check").fetchall(), [("ok",)])
                    numbers = [row[0] for row in database.execute("select number from t order by number")]
                    database.close()
                    self.assertEqual(len(numbers) % 20, 0, "half a transaction is there")

    def test_two_mounts_write_one_database(self):
        path = self.at("shared.db")
        create_table(path, "delete")
        peers = [self.peer() for _ in range(4)]
        for number, peer in enumerate(peers):
            peer.tell(insert_some, self.at("shared.db") if number % 2 else self.also("shared.db"), number, 25)
        for peer in peers:
            peer.answer(4 * PATIENCE_S)
        for each in (path, self.also("shared.db")):
            self.check(each, (100, 50_000))


class Working(ProgramTest):
    def test_files_are_edited_in_place(self):
        for number in range(50):
            write_file(self.at(f"f{number}"), b"one two three\n" * 100)
        paths = [self.at(f"f{number}") for number in range(50)]
        self.run_program("sed", "-i", "s/two/2/", *paths)
        self.assertEqual({read_file(path) for path in paths}, {b"one 2 three\n" * 100})
        self.run_program("sort", "-u", "-o", paths[0], *paths)
        self.assertEqual(read_file(paths[0]), b"one 2 three\n")
        self.run_program("touch", "-d", "2001-02-03T04:05:06.123456789Z", paths[1])
        self.assertEqual(os.stat(paths[1]).st_mtime_ns, 981_173_106_123_456_789)
        newer = self.run_program("find", ".", "-type", "f", "-newer", "f1", "-size", "+1")
        self.assertEqual(len(newer.splitlines()), 48)
        self.run_program("truncate", "-s", "1M", paths[2])
        self.run_program("fallocate", "-p", "-o", "4096", "-l", "100000", paths[2])
        self.run_program("install", "-m", "750", paths[3], self.at("installed"))
        self.assertEqual(os.stat(self.at("installed")).st_mode & 0o777, 0o750)
        self.assertIn("total", self.run_program("ls", "-laR"))
        self.assertEqual(self.run_program("du", "--apparent-size", "-B1", "f0").split()[0], "12")

    @needs("cc")
    def test_a_program_is_compiled_and_run(self):
        for number in range(8):
            write_file(self.at(f"part{number}.c"), b"int part%d(void) { return %d; }\n" % (number, number))
        calls = "+".join(f"part{number}()" for number in range(8))
        declarations = "".join(f"int part{number}(void);" for number in range(8))
        write_file(self.at("main.c"), f"{declarations}\nint main(void) {{ return {calls}; }}\n".encode())
        for number in range(8):
            self.run_program("cc", "-g", "-c", f"part{number}.c")
        self.run_program("ar", "rcs", "libparts.a", *[f"part{number}.o" for number in range(8)])
        self.run_program("cc", "-g", "main.c", "-L.", "-lparts", "-o", "program")
        self.assertEqual(subprocess.run([self.at("program")], check=False, timeout=PATIENCE_S).returncode, 28)

    def test_pipelines_append_to_logs(self):
        script = "for i in $(seq 200); do echo line $i >> log; done; sort -k2 -n log | tail -n 1; wc -l < log"
        self.assertEqual(self.run_program("sh", "-c", script).split(), ["line", "200", "200"])
        pathlib.Path(self.at("log")).rename(self.at("log.1"))
        self.run_program("gzip", "log.1")
        self.assertEqual(len(self.run_program("zcat", "log.1.gz").splitlines()), 200)


# ---- what peers do ----

def create_table(path, mode):
    database = sqlite3.connect(path, timeout=PATIENCE_S)
    database.execute(f"pragma journal_mode={mode}")
    database.execute("create table if not exists t(number integer primary key, content blob)")
    database.close()


def insert_some(path, writer, count):
    database = sqlite3.connect(path, timeout=3 * PATIENCE_S, isolation_level=None)
    for number in range(count):
        database.execute("begin immediate")
        database.execute("insert into t values(?, ?)", (1000 * writer + number, random.Random(number).randbytes(500)))
        database.execute("commit")
    database.close()


def insert_for_ever(path, mode):
    """Twenty rows in each transaction."""
    create_table(path, mode)
    database = sqlite3.connect(path, timeout=PATIENCE_S, isolation_level=None)
    while True:
        database.execute("begin immediate")
        for _ in range(20):
            database.execute("insert into t(content) values(?)", (os.urandom(700),))
        database.execute("commit")


def count_rows(path):
    """Of a database that may not be there yet."""
    try:
        database = sqlite3.connect(path, timeout=PATIENCE_S)
        try:
            return database.execute("select count(*) from t").fetchone()[0]
        finally:
            database.close()
    except sqlite3.OperationalError:
        return 0


del ProgramTest

if __name__ == "__main__":
    unittest.main()
