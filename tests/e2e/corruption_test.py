"""Goal: a flipped bit anywhere on disk is detected and never returned. Method: flip one bit at a time in the data,
the superblock, the identity and every file of the index and of the metadata of a stopped node; then start it and read
everything. Allowed: it refuses to start with words, or a read says that data is damaged, or all is right (the bit did
not matter). Forbidden: wrong bytes, a crash, and an acknowledged checkpoint that is gone without a word."""

import os
import random
import shutil
import unittest

from cairn_harness import MIB, CairnTest, SdkError

SETTINGS = {"targets": [{"size": "96MiB"}]}
SAVES = {"b/run/step-1": 9 * MIB + 777, "b/run/step-2": 70000, "b/run/step-3": 100}
# What a damaged store may say of itself.
DAMAGE = ("DATA_LOSS", "UNAVAILABLE", "FAILED_PRECONDITION", "INTERNAL")


def flip(path, offset, bit):
    with open(path, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ (1 << bit)]))


def written_blocks(path):
    """Offsets of the 4 KiB blocks of a file that hold anything."""
    blocks, zeros = [], bytes(4096)
    with open(path, "rb") as file:
        offset = 0
        while block := file.read(4096):
            if block != zeros[:len(block)]:
                blocks.append(offset)
            offset += 4096
    return blocks


class Corruption(CairnTest):
    def setUp(self):
        super().setUp()
        self.server = self.cairnd(settings=SETTINGS).start()
        sdk = self.sdk(self.server)
        for path, size in SAVES.items():
            sdk.ask("save", path=path, world=2, bytes=size)
        sdk.kill()

    def files(self):
        return [os.path.join(folder, name) for folder, _, names in os.walk(self.server.data) for name in names]

    def target_file(self):
        return max(self.files(), key=os.path.getsize)

    def read_all(self, server):
        """Reads every checkpoint; how many reads said that data is damaged."""
        sdk, damaged = self.sdk(), 0
        sdk.ask("connect", endpoint=server.endpoint, timeout_ms=10000)
        for path in SAVES:
            try:
                sdk.ask("verify", path=path)
            except SdkError as error:
                self.assertNotIn("WRONG BYTES", error.message)
                # NOT_FOUND is not among them: a checkpoint that is gone without a word is what must not be.
                self.assertIn(error.code, DAMAGE, f"{path}: {error}")
                damaged += 1
        sdk.kill()
        return damaged

    def start_and_read(self):
        """Starts on the damaged directory. "refused", "detected" or "unharmed"; `self.last` is the server."""
        server = self.last = self.cairnd(settings=SETTINGS)
        try:
            server.start()
        except RuntimeError:
            self.assertGreater(server.process.returncode, 0, "crashed: " + server.log()[-2000:])
            return "refused"
        try:
            return "detected" if self.read_all(server) else "unharmed"
        finally:
            server.kill()

    def test_a_bit_of_the_data(self):
        self.server.stop()
        target = self.target_file()
        dice = random.Random(1)
        data = self.data_blocks()
        self.assertGreater(len(data), 1000)
        for offset in [data[0], data[-1]] + dice.sample(data, 6):
            bit = dice.randrange(8)
            flip(target, offset, bit)
            with self.subTest(offset=offset):
                self.assertEqual(self.start_and_read(), "detected")
            flip(target, offset, bit)
        self.assertEqual(self.start_and_read(), "unharmed")

    def test_a_bit_of_the_data_under_a_running_server(self):
        target = self.target_file()
        data = self.data_blocks()
        flip(target, data[len(data) // 2], 3)
        # The server reads with O_DIRECT: the flip must have left the page cache.
        os.sync()
        self.assertGreaterEqual(self.read_all(self.server), 1)
        self.assertTrue(self.server.running())

    def test_a_bit_of_the_superblock(self):
        self.server.stop()
        target = self.target_file()
        first, last = 0, os.path.getsize(target) - 4096
        with open(target, "rb") as file:
            block = file.read(4096)
        used = [i for i, byte in enumerate(block) if byte != 0]
        dice = random.Random(2)
        for offset in dice.sample(used, min(12, len(used))):
            bit = dice.randrange(8)
            with self.subTest(offset=offset, bit=bit):
                # The other copy may save the day, if that is said; both damaged is the end.
                flip(target, first + offset, bit)
                self.assertIn(self.start_and_read(), ("unharmed", "refused"))
                self.assertRegex(self.last.log(), "target 1: (rewrote the first copy of the superblock|the device )")
                for copy in (first, last):
                    self.write(target, copy, block)
                    flip(target, copy + offset, bit)
                self.assertEqual(self.start_and_read(), "refused")
                self.assertIn("target 1: ", self.last.log())
            for copy in (first, last):
                self.write(target, copy, block)
        self.assertEqual(self.start_and_read(), "unharmed")

    def write(self, path, offset, data):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def data_blocks(self):
        """Blocks of the target that hold some checkpoint's bytes: all that are not zero but the superblocks."""
        target = self.target_file()
        last = os.path.getsize(target) - 4096
        return [offset for offset in written_blocks(target) if 0 < offset < last]

    def flip_everywhere(self, want, kill):
        """Flips single bits in the files that `want` picks, each in a fresh copy of the directory as it was."""
        (self.server.kill if kill else self.server.stop)()
        pristine = self.server.data + ".pristine"
        os.rename(self.server.data, pristine)
        target = os.path.relpath(max((os.path.join(folder, name) for folder, _, names in os.walk(pristine)
                                      for name in names), key=os.path.getsize), pristine)
        outcomes = {}
        names = sorted(os.path.relpath(os.path.join(folder, name), pristine)
                       for folder, _, files in os.walk(pristine) for name in files)
        for name in names:
            size = os.path.getsize(os.path.join(pristine, name))
            if name == target or size == 0 or not want(os.path.basename(name)):
                continue
            dice = random.Random(name)
            for offset in {0, size // 2, size - 1, dice.randrange(size)}:
                self.copy(pristine)
                flip(os.path.join(self.server.data, name), offset, dice.randrange(8))
                with self.subTest(file=name, offset=offset, size=size):
                    outcome = self.start_and_read()
                    outcomes[outcome] = outcomes.get(outcome, 0) + 1
        return outcomes

    def copy(self, pristine):
        """The directory as it was; the large and sparse target keeps its holes."""
        shutil.rmtree(self.server.data, ignore_errors=True)
        # cp knows holes; shutil does not.
        os.spawnlp(os.P_WAIT, "cp", "cp", "-a", "--sparse=always", pristine, self.server.data)

    def test_a_bit_of_the_index_or_the_metadata_after_a_clean_stop(self):
        outcomes = self.flip_everywhere(lambda name: name.endswith((".sst", ".log")) or name.startswith("MANIFEST"),
                                        kill=False)
        self.assertGreater(outcomes.get("refused", 0) + outcomes.get("detected", 0), 0, outcomes)

    # The last record of a log is the limit: damaged, it looks like one that a power cut tore before it was
    # acknowledged. The records of the metadata's own housekeeping follow every commit here.
    def test_a_bit_of_the_log_after_a_kill(self):
        outcomes = self.flip_everywhere(lambda name: name.endswith(".log"), kill=True)
        self.assertGreater(outcomes.get("refused", 0) + outcomes.get("detected", 0), 0, outcomes)


if __name__ == "__main__":
    unittest.main()
