"""Goal: the ckpt commands tell the truth about what a job wrote, and find every damaged byte. Method: checkpoints
written through the SDK, looked at through the command; bits flipped in the stopped node's target."""

import os
import unittest

from cli_harness import MIB, CliTest, wait_until


def flip_in(path, needle):
    """Flips one bit in the first block that holds `needle`."""
    with open(path, "r+b") as file:
        offset = 0
        while block := file.read(MIB):
            at = block.find(needle)
            if at >= 0:
                file.seek(offset + at + len(needle) // 2)
                byte = file.read(1)[0]
                file.seek(offset + at + len(needle) // 2)
                file.write(bytes([byte ^ 16]))
                return
            offset += len(block)
    raise AssertionError("the content is not on the target")


class CliCheckpoints(CliTest):
    def setUp(self):
        super().setUp()
        self.sdk_process = self.sdk(self.server)

    def save(self, path, world=2, size=MIB):
        self.sdk_process.ask("save", path=path, world=world, bytes=size)

    def test_ls_show_latest_and_verify_agree(self):
        for step in (1, 2, 10):
            self.save(f"b/run/step-{step}", world=3)
        listed = self.cairn("ckpt", "ls", "b/run", "--output", "json").json()
        self.assertEqual([each["step"] for each in listed], [1, 10, 2])  # in name order
        self.assertEqual({each["state"] for each in listed}, {"committed"})
        self.assertIn("b/run/step-10\n", self.cairn("ckpt", "ls").out)
        self.assertEqual(self.cairn("ckpt", "latest", "b/run").out, "b/run/step-10\n")
        shown = self.cairn("ckpt", "show", "b/run/step-10", "-o", "json").json()
        self.assertEqual((shown["world_size"], shown["shard_count"], shown["size_bytes"]), (3, 3, 3 * MIB))
        self.assertEqual(sorted(shard["rank"] for shard in shown["shards"]), [0, 1, 2])
        self.assertIn("3 of 3 done", self.cairn("ckpt", "show", "b/run/step-10").out)
        verified = self.cairn("ckpt", "verify", "b/run/step-10", "-o", "json").json()
        self.assertTrue(verified["ok"])
        self.assertEqual((verified["read_bytes"], verified["bad_shards"]), (3 * MIB, []))
        self.assertIn("b/run/step-10: ok, 3 shards", self.cairn("ckpt", "verify", "b/run/step-10").out)

    def test_one_being_written_shows_with_all_only(self):
        self.sdk_process.ask("begin", id="w", path="b/run/step-1", world=2)
        self.assertEqual(self.cairn("ckpt", "ls", "b/run").out, "")
        listed = self.cairn("ckpt", "ls", "b/run", "--all", "-o", "json").json()
        self.assertEqual((listed[0]["state"], listed[0]["ranks_done"]), ("writing", 0))
        self.cairn("ckpt", "latest", "b/run", code=1)
        self.cairn("ckpt", "verify", "b/run/step-1", code=1)

    def test_verify_finds_a_flipped_bit_and_exits_two(self):
        self.save("b/run/step-1", world=2)
        shard = self.cairn("ckpt", "show", "b/run/step-1", "-o", "json").json()["shards"][1]["name"]
        content = self.cairn("cat", f"b/run/step-1/{shard}").raw
        needle = content[len(content) // 2:][:64]
        self.sdk_process.kill()
        self.server.stop()
        target = max((os.path.join(folder, name) for folder, _, names in os.walk(self.server.data)
                      for name in names), key=os.path.getsize)
        flip_in(target, needle)
        self.server.start()
        result = self.cairn("ckpt", "verify", "b/run/step-1", code=2)
        self.assertIn(f"bad: {shard}\n", result.out)
        self.assertIn(f"cairn: bad shard b/run/step-1/{shard}: ", result.err)
        verified = self.cairn("ckpt", "verify", "b/run/step-1", "-o", "json", code=2).json()
        self.assertEqual(verified["bad_shards"], [shard])
        # A get of the whole finds it too, and keeps the good part.
        got = self.cairn("get", "-r", "b/run/step-1", self.local("out"), "-o", "json", code=2).json()
        self.assertEqual(sorted(each["ok"] for each in got), [False, True])
        self.assertEqual(len(os.listdir(self.local("out"))), 1)

    def test_pinned_ones_survive_rm_and_prune(self):
        for step in range(1, 6):
            self.save(f"b/run/step-{step}", world=1)
        self.cairn("ckpt", "pin", "b/run/step-1")
        self.assertIn("pin", self.cairn("ckpt", "ls", "b/run").out)
        self.assertIn("pinned", self.cairn("ckpt", "rm", "-y", "b/run/step-1", code=1).err)
        dry = self.cairn("ckpt", "prune", "b/run", "--keep-last", "2", "--dry-run", "-o", "json").json()
        self.assertEqual([each["path"] for each in dry["removed"]], ["b/run/step-2", "b/run/step-3"])
        self.assertEqual(len(self.cairn("ckpt", "ls", "b/run", "-o", "json").json()), 5)
        self.assertIn("removed 2 checkpoints", self.cairn("ckpt", "prune", "b/run", "--keep-last", "2", "--yes").out)
        self.cairn("ckpt", "unpin", "b/run/step-1")
        self.cairn("ckpt", "rm", "-y", "b/run/step-1", "b/run/step-4")
        self.assertEqual([each["path"] for each in self.cairn("ckpt", "ls", "b/run", "-o", "json").json()],
                         ["b/run/step-5"])

    def test_retention_is_kept_and_applied_after_a_commit(self):
        self.save("b/run/step-1", world=1)
        self.assertIn("no rule is set", self.cairn("ckpt", "retention", "b/run").out)
        self.cairn("ckpt", "retention", "b/run", "--keep-last", "1", "--keep-every", "10")
        rules = self.cairn("ckpt", "retention", "b/run", "-o", "json").json()
        self.assertEqual(rules, {"path": "b/run", "keep_last": 1, "keep_every_steps": 10,
                                 "keep_newer_than_seconds": 0})
        for step in (10, 11, 12):
            self.save(f"b/run/step-{step}", world=1)
        # The commit only says that there is something to prune.
        wait_until(lambda: [each["step"] for each in self.cairn("ckpt", "ls", "b/run", "-o", "json").json()] == [10, 12],
                   "step 11 is pruned")
        self.cairn("ckpt", "retention", "b/run", "--clear")
        self.assertIn("no rule is set", self.cairn("ckpt", "retention", "b/run").out)

    def test_bench_ckpt_saves_restores_and_cleans_up(self):
        result = self.cairn("bench", "ckpt", "--ranks", "2", "--size", "9MiB", "--rounds", "2", "-o", "json").json()
        self.assertEqual(len(result["save"]["seconds"]), 2)
        self.assertGreater(result["restore"]["median_gb_per_second"], 0)
        self.assertEqual(self.cairn("ls", "cairn-bench").out, "")
        kept = self.cairn("bench", "ckpt", "--ranks", "2", "--size", "1MiB", "--rounds", "1", "--keep",
                          "-o", "json").json()
        self.cairn("ckpt", "verify", kept["directory"] + "/step-0")
        self.assertIn("median of 1 rounds, 2 ranks of 1.00 MiB",
                      self.cairn("bench", "ckpt", "--ranks", "2", "--size", "1MiB", "--rounds", "1").out)

    def test_bench_meta_commits_every_rank(self):
        result = self.cairn("bench", "meta", "--ranks", "300", "--keep", "-o", "json").json()
        self.assertEqual((result["ranks"], result["shards_committed"], result["verified"]), (300, 300, True))
        # One begin and one done a rank, and one commit and a few queries in all.
        self.assertTrue(2.0 <= result["metadata_calls_per_rank"] < 2.1, result)
        shown = self.cairn("ckpt", "show", result["path"], "-o", "json").json()
        self.assertEqual((shown["ranks_done"], len(shown["shards"])), (300, 300))
        self.assertIn("ranks/s", self.cairn("bench", "meta", "--ranks", "50").out)
        self.assertEqual(len(self.cairn("ls", "cairn-bench").out.split()), 1)


if __name__ == "__main__":
    unittest.main()
