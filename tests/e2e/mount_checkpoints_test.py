"""Goal: checkpoints are seen in a mount when they are committed, whole and read-only; directories that plain tools write and
rename are checkpoints; what tiers have is read, and quotas hold. Method: the real SDK and command line beside mounts."""

import errno
import os
import random
import shutil
import subprocess
import unittest

from cairn_harness import MIB, PATIENCE_S, wait_until
from mount_harness import BUCKET, MountTest, SharedMountTest, read_file, write_file


def content(seed, size=MIB + 17):
    return random.Random(seed).randbytes(size)


class Committed(SharedMountTest):
    needs_cairn = True

    def setUp(self):
        super().setUp()
        self.one = self.shared.sdk()

    def save(self, name, seed=1, world=2):
        self.one.ask("save", path=self.in_cluster(name), world=world, bytes=MIB + 4321, seed=seed)

    def assert_same_as_got(self, name):
        """The mount shows what the command line gets."""
        local = os.path.join(self.dir, "got")
        shutil.rmtree(local, ignore_errors=True)
        os.mkdir(local)
        self.cli("get", "-r", self.in_cluster(name), local)
        subprocess.run(["diff", "-r", os.path.join(local, os.path.basename(name)), self.at(name)], check=True,
                       timeout=PATIENCE_S)

    def test_a_checkpoint_is_seen_when_it_is_committed(self):
        self.save("run/step-1")
        self.assertEqual(sorted(os.listdir(self.at("run/step-1"))), ["rank0.seed1.bin", "rank1.seed2.bin"])
        self.assert_same_as_got("run/step-1")
        for rank in range(2):
            self.one.ask("begin", path=self.in_cluster("run/step-2"), world=2, rank=rank, id=rank)
            self.one.ask("shard", id=rank, shard=rank, name=f"rank{rank}.seed{50 + rank}.bin")
            self.one.ask("write", shard=rank, seed=50 + rank, bytes=2 * MIB)
            self.one.ask("close", shard=rank)
            self.one.ask("done", id=rank)
            self.assertNotIn("step-2", os.listdir(self.at("run")))
            self.assert_errno(errno.ENOENT, os.stat, self.at("run/step-2"))
        self.one.ask("commit", id=0)
        self.assertEqual(sorted(os.listdir(self.at("run"))), ["latest", "step-1", "step-2"])
        self.assertEqual(os.stat(self.at("run/step-2/rank1.seed51.bin")).st_size, 2 * MIB)
        self.assert_same_as_got("run/step-2")

    def test_latest_leads_to_the_newest(self):
        for step in (3, 7, 5):
            self.save(f"run/step-{step}", seed=10 * step)
            expected = self.one.ask("latest", path=self.in_cluster("run"))["path"].rpartition("/")[2]
            wait_until(lambda: os.readlink(self.at("run/latest")) == expected, f"latest is {expected}", 10)
            self.assertEqual(os.listdir(self.at("run/latest")), os.listdir(self.at(f"run/{expected}")))
        self.assertEqual(expected, "step-5", "the last that was committed")
        self.assertEqual(len(read_file(self.at("run/latest/rank0.seed50.bin"))), MIB + 4321)
        with os.scandir(self.at("run")) as entries:
            self.assertTrue({entry.name: entry for entry in entries}["latest"].is_symlink())
        for call in ((os.unlink, "run/latest"), (os.rename, "run/latest", "run/other")):
            self.assert_errno((errno.EROFS, errno.EPERM, errno.EBUSY, errno.EACCES), call[0],
                              *[self.at(path) for path in call[1:]])

    def test_nothing_in_it_can_be_changed(self):
        self.save("run/step-1")
        file = self.at("run/step-1/rank0.seed1.bin")
        before = read_file(file)
        refused = (errno.EROFS, errno.EPERM, errno.EACCES)
        for call in ((os.open, file, os.O_WRONLY), (os.open, file, os.O_RDWR), (os.truncate, file, 0), (os.unlink, file),
                     (os.open, self.at("run/step-1/new"), os.O_CREAT | os.O_WRONLY), (os.mkdir, self.at("run/step-1/d")),
                     (os.rename, file, self.at("run/moved")), (os.rename, file, file + "2"), (os.chmod, file, 0o777),
                     (os.link, file, self.at("run/link")), (os.symlink, "x", self.at("run/step-1/l")),
                     (os.setxattr, file, "user.a", b"b"), (os.chown, file, 1, 1)):
            self.assert_errno(refused, *call)
        write_file(self.at("plain"), b"")
        self.assert_errno(refused, os.rename, self.at("plain"), self.at("run/step-1/in"))
        self.assertEqual(read_file(file), before)
        self.one.ask("verify", path=self.in_cluster("run/step-1"))

    def test_rmdir_removes_it_whole(self):
        for step in (1, 2):
            self.save(f"run/step-{step}", seed=step * 10)
        os.rmdir(self.at("run/step-2"))
        self.assertNotIn("step-2", os.listdir(self.at("run")))
        self.assertEqual([each["path"] for each in self.cli("ckpt", "ls", self.in_cluster("run"))],
                         [self.in_cluster("run/step-1")])
        wait_until(lambda: os.readlink(self.at("run/latest")) == "step-1", "latest follows", 10)
        self.cli("ckpt", "pin", self.in_cluster("run/step-1"))
        self.assert_errno((errno.EPERM, errno.EBUSY, errno.EACCES), os.rmdir, self.at("run/step-1"))
        self.cli("ckpt", "unpin", self.in_cluster("run/step-1"))
        os.rmdir(self.at("run/step-1"))
        self.assertEqual(os.listdir(self.at("run")), [])
        os.rmdir(self.at("run"))

    def test_a_reader_keeps_to_a_checkpoint_that_is_replaced_or_removed(self):
        self.save("run/step-1", seed=1)
        fd = self.opened(self.at("run/step-1/rank0.seed1.bin"), os.O_RDONLY)
        before = os.pread(fd, 2 * MIB, 0)
        self.save("run/step-1", seed=100)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        self.assertEqual(os.pread(fd, 2 * MIB, 0), before)
        wait_until(lambda: sorted(os.listdir(self.at("run/step-1"))) == ["rank0.seed100.bin", "rank1.seed101.bin"],
                   "the new one is there", 10)
        self.assert_same_as_got("run/step-1")

    def test_its_directory_can_be_moved_with_it(self):
        self.save("run/step-1")
        os.rename(self.at("run"), self.at("moved"))
        self.assert_same_as_got("moved/step-1")
        self.one.ask("verify", path=self.in_cluster("moved/step-1"))


class ByPlainTools(SharedMountTest):
    needs_cairn = True

    def checkpoints(self, name):
        return sorted(each["path"].rpartition("/")[2] for each in self.cli("ckpt", "ls", self.in_cluster(name)))

    def write(self, name):
        os.makedirs(self.at(f"{name}/sub"))
        for number in range(3):
            write_file(self.at(f"{name}/f{number}"), content(number))
        write_file(self.at(f"{name}/sub/small"), b"small")

    def test_a_directory_renamed_to_its_name_is_a_checkpoint(self):
        os.mkdir(self.at("run"))
        self.write("run/.step-7.tmp")
        self.assertEqual(self.checkpoints("run"), [])
        os.rename(self.at("run/.step-7.tmp"), self.at("run/step-7"))
        self.assertEqual(self.checkpoints("run"), ["step-7"])
        shown = self.cli("ckpt", "show", self.in_cluster("run/step-7"))
        self.assertEqual((shown["step"], sorted(shard["name"] for shard in shown["shards"])),
                         (7, ["f0", "f1", "f2", "sub/small"]))
        self.assertEqual(os.readlink(self.at("run/latest")), "step-7")
        self.assertEqual(read_file(self.at("run/step-7/f2")), content(2))
        self.assert_errno((errno.EROFS, errno.EPERM, errno.EACCES), os.open, self.at("run/step-7/f2"), os.O_WRONLY)
        local = os.path.join(self.dir, "got")
        os.mkdir(local)
        self.cli("get", "-r", self.in_cluster("run/step-7"), local)
        subprocess.run(["diff", "-r", os.path.join(local, "step-7"), self.at("run/step-7")], check=True)
        self.cli("ckpt", "verify", self.in_cluster("run/step-7"))
        # Written by the one mount, it is one in the other.
        self.assertEqual(read_file(self.also("run/step-7/f1")), content(1))
        os.rmdir(self.also("run/step-7"))
        self.assertEqual(self.checkpoints("run"), [])

    def test_copied_and_unpacked_ones_are_as_good(self):
        local = os.path.join(self.dir, "local")
        os.mkdir(local)
        for number in range(3):
            write_file(os.path.join(local, f"shard-{number}"), content(number))
        subprocess.run(["tar", "-C", local, "-cf", os.path.join(self.dir, "x.tar"), "."], check=True)
        os.mkdir(self.at("run"))
        subprocess.run(["cp", "-a", local, self.at("run/_checkpoint-10")], check=True)
        os.rename(self.at("run/_checkpoint-10"), self.at("run/checkpoint-10"))
        os.mkdir(self.at("run/checkpoint-20.tmp"))
        subprocess.run(["tar", "-C", self.at("run/checkpoint-20.tmp"), "-xf", os.path.join(self.dir, "x.tar")], check=True)
        os.rename(self.at("run/checkpoint-20.tmp"), self.at("run/checkpoint-20"))
        self.assertEqual(self.checkpoints("run"), ["checkpoint-10", "checkpoint-20"])
        self.cli("ckpt", "retention", self.in_cluster("run"), "--keep-last", "1")
        self.cli("ckpt", "prune", self.in_cluster("run"), "--yes")
        self.assertEqual(self.checkpoints("run"), ["checkpoint-20"])

    def test_what_is_closed_only_after_the_rename_is_not_lost(self):
        os.mkdir(self.at("run"))
        os.mkdir(self.at("run/.step-3.tmp"))
        fd = self.opened(self.at("run/.step-3.tmp/f"))
        os.write(fd, b"written before")
        os.rename(self.at("run/.step-3.tmp"), self.at("run/step-3"))
        try:
            self.close(fd)
        except OSError:
            return  # told, so that nobody takes it for saved
        self.assertEqual(read_file(self.at("run/step-3/f")), b"written before")

    def test_other_directories_stay_directories(self):
        for name, target in (("plain", "renamed"), (".hidden", "visible"), ("work", "work-1")):
            self.write(name)
            os.rename(self.at(name), self.at(target))
            write_file(self.at(f"{target}/f0"), b"changed")
        os.mkdir(self.at(".step-9.tmp"))
        os.rename(self.at(".step-9.tmp"), self.at("step-9"))  # holds nothing
        write_file(self.at("step-9/f"), b"")
        self.assertEqual(self.checkpoints(""), [])


class Tiers(MountTest):
    def test_what_a_tier_has_is_read_and_changed(self):
        cluster, mount = self.mounted_cluster(settings={"reclaim_grace_seconds": 0})
        store = os.path.join(self.dir, "cold")
        os.mkdir(store)
        self.run_cli(cluster, "tier", "add", "cold", store)
        os.mkdir(os.path.join(mount.mountpoint, "data"))
        files = {f"data/f{number}": content(number, 5 * MIB + number) for number in range(3)}
        for name, written in files.items():
            write_file(os.path.join(mount.mountpoint, name), written, sync=True)
        sdk = cluster.sdk()
        sdk.ask("save", path=f"{BUCKET}/run/step-1", world=2, bytes=3 * MIB, seed=7)
        shard = read_file(os.path.join(mount.mountpoint, "run/step-1/rank0.seed7.bin"))
        self.run_cli(cluster, "tier", "release", f"{BUCKET}/data", f"{BUCKET}/run/step-1", "--wait")
        for path in (f"{BUCKET}/data/f0", f"{BUCKET}/run/step-1"):
            self.assertEqual(self.run_cli(cluster, "tier", "explain", path)["place"], "cold")
        cluster.wait_used(lambda used: sum(used.values()) < MIB, "the hot space is free")
        # Not by what the kernel has of them.
        mount.unmount()
        mount.start()
        self.assertEqual(read_file(os.path.join(mount.mountpoint, "run/step-1/rank0.seed7.bin")), shard)
        for name, written in files.items():
            self.assertEqual(os.stat(os.path.join(mount.mountpoint, name)).st_size, len(written))
            self.assertEqual(read_file(os.path.join(mount.mountpoint, name)), written)
        changed = bytearray(files["data/f1"])
        changed[MIB:MIB + 5000] = b"y" * 5000
        fd = os.open(os.path.join(mount.mountpoint, "data/f1"), os.O_RDWR)
        os.pwrite(fd, b"y" * 5000, MIB)
        os.fsync(fd)
        os.close(fd)
        with self.mount(cluster, "other", start=False) as other:
            self.assertEqual(read_file(os.path.join(other.mountpoint, "data/f1")), changed)
            self.assertEqual(read_file(os.path.join(other.mountpoint, "data/f2")), files["data/f2"])
        self.assert_clean(cluster)


class Space(MountTest):
    def fill(self, path, limit):
        """Writes until an error comes, by whichever call; its errno."""
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                for number in range(limit // MIB):
                    os.write(fd, content(number, MIB))
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as error:
            return error.errno
        return 0

    def test_a_quota_is_kept(self):
        cluster, mount = self.mounted_cluster()
        self.run_cli(cluster, "bucket", "set", BUCKET, "--quota", "8MiB")
        path = os.path.join(mount.mountpoint, "f")
        write_file(path, content(1, 3 * MIB), sync=True)
        space = os.statvfs(mount.mountpoint)
        self.assertLessEqual(space.f_blocks * space.f_frsize, 8 * MIB)
        self.assertLessEqual(space.f_bavail * space.f_frsize, 5 * MIB)
        self.assertIn(self.fill(os.path.join(mount.mountpoint, "g"), 40 * MIB), (errno.EDQUOT, errno.ENOSPC))
        self.assertLessEqual(self.run_cli(cluster, "bucket", "show", BUCKET)["size_bytes"], 8 * MIB)
        self.assertEqual(read_file(path), content(1, 3 * MIB))
        os.unlink(os.path.join(mount.mountpoint, "g"))
        write_file(os.path.join(mount.mountpoint, "h"), content(2, 2 * MIB), sync=True)
        self.assertEqual(read_file(os.path.join(mount.mountpoint, "h")), content(2, 2 * MIB))

    def test_full_targets_are_told_and_have_room_again(self):
        cluster, mount = self.mounted_cluster(settings={"targets": [{"size": "64MiB"}]})
        kept = os.path.join(mount.mountpoint, "kept")
        write_file(kept, content(1, 2 * MIB), sync=True)
        self.assertEqual(self.fill(os.path.join(mount.mountpoint, "big"), 200 * MIB), errno.ENOSPC)
        self.assertEqual(read_file(kept), content(1, 2 * MIB))
        os.unlink(os.path.join(mount.mountpoint, "big"))

        def fits():
            return self.fill(os.path.join(mount.mountpoint, "again"), 8 * MIB) == 0
        wait_until(fits, "there is room again")
        self.assertEqual(read_file(os.path.join(mount.mountpoint, "again")),
                         b"".join(content(number, MIB) for number in range(8)))


if __name__ == "__main__":
    unittest.main()
