"""Goal: a node works in every shape that its configuration allows: several targets and reactors, a raw device, a target
of the default size; a target that has grown keeps what it holds, one that has shrunk is refused. Method: save, restart
in the same or another shape, verify byte for byte. Devices are loop devices and need root; says so where it has not."""

import os
import shutil
import subprocess
import sys
import unittest

from cairn_harness import MIB, CairnTest, wait_until

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fault"))

import volumes  # noqa: E402

# A few stripes, of which the last is short.
SHARD = 9 * MIB + 12345
# Of two targets both get about half of a shard this long: it has 11 stripes, and they rotate.
LONG_SHARD = 42 * MIB + 12345
# What a target keeps for itself: 1 MiB at each end (proto/disk/FORMAT.md).
RESERVED = 2 * MIB


def why_no_loop_device():
    """Why raw devices cannot be made here; None when they can."""
    if os.geteuid() != 0:
        return "needs root to make a loop device"
    if not os.path.exists("/dev/loop-control"):
        return "the kernel has no loop devices (/dev/loop-control is missing)"
    if shutil.which("losetup") is None:
        return "losetup is missing: run tools/setup --test"
    return None


class LoopDevice:
    """A raw block device whose content is a file."""

    def __init__(self, image, size_bytes):
        self.image = image
        with open(image, "wb") as file:
            file.truncate(size_bytes)
        self.path = self._losetup("--find", "--show", image)

    def resize(self, size_bytes):
        """As a logical volume that is extended or cut."""
        os.truncate(self.image, size_bytes)
        self._losetup("--set-capacity", self.path)

    def detach(self):
        self._losetup("--detach", self.path)
        # While somebody has the device open the kernel only notes that it shall go.
        wait_until(lambda: not self._losetup("--associated", self.image), f"{self.path} is detached")

    @staticmethod
    def _losetup(*arguments):
        done = subprocess.run(["losetup", *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"losetup {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()


class NodeShapes(CairnTest):
    def save(self, server, step, size=SHARD):
        sdk = self.sdk(server)
        sdk.ask("save", path=f"b/run/step-{step}", world=2, bytes=size, seed=10 * step)
        sdk.kill()

    def verify(self, server, step, size=SHARD):
        sdk = self.sdk(server)
        self.assertEqual(sdk.ask("verify", path=f"b/run/step-{step}")["bytes_read"], 2 * size)
        sdk.kill()

    def targets(self, server):
        """(core, capacity, used) of each target."""
        sdk = self.sdk(server)
        targets = sdk.status()["map"]["targets"]
        sdk.kill()
        return [(target.get("core", 0), int(target["capacity_bytes"]), int(target.get("used_bytes", 0)))
                for target in targets]

    def capacity(self, server):
        (_, capacity, _), = self.targets(server)
        return capacity

    def assert_refused_start(self, server, *words):
        """It ends by itself, not with 0 and not by a signal, and says `words`."""
        with self.assertRaises(RuntimeError):
            server.start()
        self.assertGreater(server.process.returncode, 0, server.log())
        for word in words:
            self.assertIn(word, server.log())


class TargetsAndReactors(NodeShapes):
    def shape(self, targets, reactors):
        return self.cairnd(settings={"targets": [{"size": "256MiB"}] * targets, "reactors": reactors})

    def assert_spread(self, server, cores):
        """The targets are on those cores, and both hold about half."""
        targets = self.targets(server)
        self.assertEqual([core for core, _, _ in targets], cores)
        used = [used for _, _, used in targets]
        self.assertGreater(min(used), sum(used) // 3, used)

    def test_two_targets_on_two_reactors_keep_a_checkpoint(self):
        server = self.shape(2, 2).start()
        self.save(server, 1, LONG_SHARD)
        self.assert_spread(server, [0, 1])
        self.verify(server, 1, LONG_SHARD)
        self.assertEqual(server.stop(), 0)
        server = self.shape(2, 2).start()
        self.verify(server, 1, LONG_SHARD)
        self.assert_spread(server, [0, 1])
        self.save(server, 2, LONG_SHARD)
        server.kill()
        server = self.shape(2, 2).start()
        self.verify(server, 1, LONG_SHARD)
        self.verify(server, 2, LONG_SHARD)

    def test_the_number_of_reactors_may_change(self):
        server = self.shape(2, 2).start()
        self.save(server, 1, LONG_SHARD)
        for reactors, cores in ((1, [0, 0]), (3, [0, 1]), (2, [0, 1])):
            server.stop()
            server = self.shape(2, reactors).start()
            self.verify(server, 1, LONG_SHARD)
            self.assert_spread(server, cores)

    def test_a_client_goes_on_when_targets_come_back_on_another_core(self):
        server = self.shape(2, 2).start()
        client = self.sdk(server)
        client.ask("save", path="b/run/step-1", world=2, bytes=LONG_SHARD)
        server.stop()
        again = self.cairnd(settings={"targets": [{"size": "256MiB"}] * 2, "reactors": 1}, listen=server.endpoint)
        again.start()
        client.ask("verify", path="b/run/step-1")
        client.ask("save", path="b/run/step-2", world=2, bytes=LONG_SHARD)
        client.ask("verify", path="b/run/step-2")

    def test_a_target_may_join(self):
        server = self.shape(1, 1).start()
        self.save(server, 1)
        server.stop()
        server = self.shape(2, 2).start()
        self.verify(server, 1)
        before = self.targets(server)
        self.assertEqual(before[1][2], 0)
        # Where a shard begins to rotate is drawn: 24 of them all on one target would be no accident.
        sdk = self.sdk(server)
        for step in range(2, 14):
            sdk.ask("save", path=f"b/run/step-{step}", world=2, bytes=4 * MIB)
        self.assertGreater(self.targets(server)[1][2], 0)
        sdk.ask("verify", path="b/run/step-13")

    def test_a_target_that_is_not_configured_any_more_is_missed(self):
        server = self.shape(2, 2).start()
        self.save(server, 1)
        server.stop()
        self.assert_refused_start(self.shape(1, 2), "target 2", "put it back")
        self.verify(self.shape(2, 2).start(), 1)

    def test_too_little_memory_for_its_reactors_is_refused(self):
        settings = {"reactors": 5, "slab_memory": "64MiB"}
        self.assert_refused_start(self.cairnd(settings=settings), "slab_memory", "80.0 MiB")


class RawDevice(NodeShapes):
    def setUp(self):
        super().setUp()
        reason = why_no_loop_device()
        if reason:
            self.skipTest(reason)
        self.device = LoopDevice(os.path.join(self.dir, "device.img"), 256 * MIB)
        self.addCleanup(self.device.detach)

    def node(self, name="data"):
        return self.cairnd(name, settings={"targets": [{"path": self.device.path}]})

    def test_it_keeps_a_checkpoint_in_all_its_space(self):
        server = self.node().start()
        self.assertEqual(self.capacity(server), 256 * MIB - RESERVED)
        self.save(server, 1)
        self.verify(server, 1)
        self.assertEqual(server.stop(), 0)
        server = self.node().start()
        self.verify(server, 1)
        self.save(server, 2)
        server.kill()
        server = self.node().start()
        self.verify(server, 1)
        self.verify(server, 2)

    def test_one_in_use_is_refused(self):
        first = self.node("one").start()
        self.assert_refused_start(self.node("two"), self.device.path)
        self.save(first, 1)
        self.verify(first, 1)

    def test_one_that_holds_something_else_is_refused_and_left_alone(self):
        content = b"a partition table, or the start of a filesystem".ljust(4096, b"!")
        with open(self.device.path, "r+b") as device:
            device.write(content)
        self.assert_refused_start(self.node(), "something else", "wipe")
        with open(self.device.path, "rb") as device:
            self.assertEqual(device.read(8192), content + bytes(4096))

    def test_one_that_has_grown_keeps_its_data_area(self):
        server = self.node().start()
        self.save(server, 1)
        server.stop()
        self.device.resize(320 * MIB)
        server = self.node().start()
        self.assertIn("rewrote the second copy of the superblock", server.log())
        self.assertEqual(self.capacity(server), 256 * MIB - RESERVED)
        self.verify(server, 1)
        self.save(server, 2)
        server.stop()
        server = self.node().start()
        self.assertNotIn("superblock", server.log())
        self.verify(server, 1)
        self.verify(server, 2)

    def test_one_that_has_shrunk_is_refused_and_works_again_at_its_size(self):
        server = self.node().start()
        self.save(server, 1)
        server.stop()
        self.device.resize(256 * MIB - 4096)
        self.assert_refused_start(self.node(), "target 1", str(256 * MIB), str(256 * MIB - 4096), "cut short")
        self.device.resize(256 * MIB)
        self.verify(self.node().start(), 1)


class FileOfAnotherSize(NodeShapes):
    def stopped_node(self):
        """A node with one checkpoint. The path of its target's file."""
        server = self.cairnd().start()
        self.save(server, 1)
        server.stop()
        return os.path.join(server.data, "target-0", "data")

    def test_one_that_has_grown_keeps_its_data_area_and_says_so(self):
        path = self.stopped_node()
        os.truncate(path, 320 * MIB)
        server = self.cairnd().start()
        self.assertIn("rewrote the second copy of the superblock", server.log())
        self.assertIn(f"keeps its {320 * MIB} bytes", server.log())
        self.assertEqual(self.capacity(server), 256 * MIB - RESERVED)
        self.verify(server, 1)
        self.save(server, 2)
        server.kill()
        server = self.cairnd().start()
        self.assertNotIn("superblock", server.log())
        self.verify(server, 1)
        self.verify(server, 2)

    def test_another_configured_size_changes_nothing_and_is_said(self):
        self.stopped_node()
        server = self.cairnd(settings={"targets": [{"size": "512MiB"}]}).start()
        self.assertIn(f"keeps its {256 * MIB} bytes", server.log())
        self.assertEqual(self.capacity(server), 256 * MIB - RESERVED)
        self.verify(server, 1)

    def test_one_that_was_cut_short_is_refused_and_works_again_at_its_length(self):
        path = self.stopped_node()
        for length in (256 * MIB - 1, 256 * MIB - 4096):
            with self.subTest(length=length):
                os.truncate(path, length)
                self.assert_refused_start(self.cairnd(), "target 1", str(256 * MIB), str(256 * MIB - 4096),
                                          "cut short")
        # Only the second copy of the superblock was lost.
        os.truncate(path, 256 * MIB)
        self.verify(self.cairnd().start(), 1)

    def test_what_is_left_of_one_is_refused_however_little(self):
        path = self.stopped_node()
        for length, words in ((8 * MIB, "cut short"), (4096, "at least"), (0, "at least")):
            with self.subTest(length=length):
                os.truncate(path, length)
                self.assert_refused_start(self.cairnd(), "target 1", words)
                self.assertEqual(os.path.getsize(path), length)

    def test_one_made_too_small_is_not_in_the_way_of_a_larger(self):
        for size in ("1KiB", "1MiB"):
            with self.subTest(size=size):
                name = f"data-{size}"
                self.assert_refused_start(self.cairnd(name, settings={"targets": [{"size": size}]}), "at least")
                self.save(self.cairnd(name).start(), 1)


class DefaultSize(NodeShapes):
    # In a filesystem of its own: the default is half of what is free.
    def setUp(self):
        super().setUp()
        reason = volumes.why_unavailable("ext4")
        if reason:
            self.skipTest(reason)
        self.volume = volumes.Volume(self.dir, "ext4")
        self.addCleanup(self.volume.remove)

    def node(self, targets):
        return self.cairnd(os.path.join(self.volume.mount_point, "data"), settings={"targets": [{}] * targets},
                           log_path=os.path.join(self.dir, "cairnd.log"))

    def free(self):
        filesystem = os.statvfs(self.volume.mount_point)
        return filesystem.f_bavail * filesystem.f_frsize

    def test_it_is_half_of_what_is_free_and_stays_so(self):
        free = self.free()
        server = self.node(1).start()
        size = self.capacity(server) + RESERVED
        # Less what the directory itself has taken before, and rounded down to a stripe.
        self.assertLessEqual(size, free // 2)
        self.assertGreater(size, free // 2 - 16 * MIB)
        self.assertGreater(self.free(), free // 2 - 32 * MIB, "the rest is not there for others")
        self.save(server, 1)
        server.stop()
        # Now half of what is free would be another size.
        server = self.node(1).start()
        self.assertEqual(self.capacity(server) + RESERVED, size)
        self.assertNotIn("keeps its", server.log())
        self.verify(server, 1)

    def test_where_next_to_nothing_is_free_it_says_so(self):
        with open(os.path.join(self.volume.mount_point, "others"), "wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free() - 6 * MIB)
        server = self.node(1)
        self.assert_refused_start(server, "space")

    def test_two_take_half_of_what_each_finds(self):
        free = self.free()
        server = self.node(2).start()
        first, second = (capacity + RESERVED for _, capacity, _ in self.targets(server))
        self.assertAlmostEqual(first, free / 2, delta=16 * MIB)
        self.assertAlmostEqual(second, free / 4, delta=16 * MIB)
        self.save(server, 1)
        server.kill()
        self.verify(self.node(2).start(), 1)


if __name__ == "__main__":
    unittest.main()
