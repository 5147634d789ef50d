"""Goal: what programs may do to files at random, in any order and by two mounts at once, reads as the model says. Method: the
short forms of fsx, mount_hammer and fio with verification; HACKING.md has the long ones."""

import os
import shutil
import subprocess
import unittest

from cairn_cluster import FOUNDER
from cairn_harness import PATIENCE_S, program
from mount_harness import BUCKET, MountTest

SECONDS = "20"
AT_ONCE = ["--attr-timeout", "0s"]
FIO = ["fio", "--size=24m", "--io_size=48m", "--numjobs=2", "--verify=crc32c", "--verify_fatal=1", "--verify_backlog=256",
       "--do_verify=1", "--verify_state_save=0", "--fsync=64", "--group_reporting"]
FIO_JOBS = (["--rw=randwrite", "--ioengine=psync", "--bsrange=512-262144", "--bs_unaligned=1"],
            ["--rw=randrw", "--ioengine=mmap", "--bsrange=4096-262144"],
            ["--rw=write", "--ioengine=libaio", "--iodepth=8", "--bsrange=512-262144"],
            ["--rw=randwrite", "--ioengine=libaio", "--iodepth=8", "--bsrange=4096-262144", "--direct=1"])


class Exercises(MountTest):
    def exercise(self, *command):
        done = subprocess.run(command, capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False)
        print(done.stdout[-1500:], flush=True)
        self.assertEqual(done.returncode, 0, done.stdout[-2000:] + done.stderr[-6000:])

    def test_files_are_as_the_model_says(self):
        _, mount = self.mounted_cluster(settings={"targets": [{"size": "1GiB"}]})
        self.exercise(program("fsx"), "--seconds", SECONDS, os.path.join(mount.mountpoint, "fsx"))

    def test_files_that_go_from_one_mount_to_the_other_are_as_the_model_says(self):
        cluster, mount = self.mounted_cluster(settings={"targets": [{"size": "1GiB"}]})
        other = self.mount(cluster, "other")
        self.exercise(program("fsx"), "--seconds", SECONDS, *[os.path.join(each.mountpoint, "fsx")
                                                              for each in (mount, other)])

    def test_two_mounts_and_the_sdk_agree_though_their_users_are_killed(self):
        # Names are looked up anew each time: the board knows of none that are a second old.
        cluster, mount = self.mounted_cluster(arguments=AT_ONCE)
        other = self.mount(cluster, "other", arguments=AT_ONCE)
        source = f"{cluster.servers[FOUNDER].endpoint}:/{BUCKET}/tree"
        self.exercise(program("mount_hammer"), "--seconds", SECONDS, "--kill-every", "3", "--sdk", source,
                      *[os.path.join(each.mountpoint, "tree") for each in (mount, other)])
        self.assert_clean(cluster)

    @unittest.skipIf(not shutil.which("fio"), "fio is not installed: tools/setup --test brings it")
    def test_fio_finds_what_it_wrote(self):
        _, mount = self.mounted_cluster()
        for number, options in enumerate(FIO_JOBS):
            self.exercise(*FIO, *options, f"--name=verify-{number}", f"--directory={mount.mountpoint}")


if __name__ == "__main__":
    unittest.main()
