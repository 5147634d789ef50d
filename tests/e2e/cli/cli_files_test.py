"""Goal: put, get, cat, ls, stat, rm, mv, mkdir and status do what they say against a real node. Method: each command
as a person would run it, as a table and as JSON, with its errors and exit codes."""

import os
import random
import unittest

from cli_harness import MIB, CliTest


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


class CliFiles(CliTest):
    def setUp(self):
        super().setUp()
        self.cairn("mkdir", "b")

    def test_put_and_get_keep_every_byte(self):
        # Around the sizes of blocks, stripes and transfer buffers.
        for size in (0, 1, 65535, 65536, 65537, 4 * MIB, 4 * MIB + 1, 32 * MIB - 1, 32 * MIB, 70 * MIB + 3):
            content = noise(size)
            self.local("in", content)
            put = self.cairn("put", self.local("in"), "b/file", "--output", "json").json()
            self.assertEqual(put[0]["size_bytes"], size)
            got = self.cairn("get", "b/file", self.local("out"), "-o", "json").json()
            self.assertEqual(got[0]["crc32c"], put[0]["crc32c"])
            self.assertTrue(self.read_local("out") == content, size)

    def test_stdin_and_stdout_stream(self):
        content = noise(40 * MIB + 7)
        self.cairn("put", "-", "b/piped", stdin=content)
        self.assertTrue(self.cairn("cat", "b/piped").raw == content)
        self.assertTrue(self.cairn("get", "b/piped", "-").raw == content)
        self.assertEqual(self.cairn("put", "-", "b/", stdin=b"x", code=1).err.count("\n"), 1)

    def test_trees_go_there_and_back(self):
        files = {"a": b"1", "d/e/f": noise(MIB), "d/empty": b""}
        for name, content in files.items():
            self.local("tree/" + name, content)
        self.assertEqual(self.cairn("put", "-r", self.local("tree"), "b/tree").out.split(":")[0], "put 3 files")
        self.assertEqual(self.cairn("ls", "-r", "b/tree").out.split(),
                         ["b/tree/a", "b/tree/d/", "b/tree/d/e/", "b/tree/d/e/f", "b/tree/d/empty"])
        self.cairn("get", "-r", "b/tree", self.local("back"))
        for name, content in files.items():
            self.assertTrue(self.read_local("back/" + name) == content, name)

    def test_some_of_several_failing_is_partial(self):
        self.local("x", b"1")
        result = self.cairn("put", self.local("x"), self.local("none"), "b/", code=2)
        self.assertIn("No such file or directory", result.err)
        removed = self.cairn("rm", "-y", "b/x", "b/none", "-o", "json", code=2).json()
        self.assertEqual([each["ok"] for each in removed], [True, False])
        self.assertEqual(removed[1]["error"]["code"], "NOT_FOUND")

    def test_a_failed_get_leaves_nothing_behind(self):
        self.cairn("get", "b/none", self.local("out/none"), code=1)
        self.local("x", b"1")
        self.cairn("put", self.local("x"), "b/x")
        # The directory to write to is missing: found out before anything is read.
        self.cairn("get", "b/x", self.local("nowhere/x"), code=1)
        self.assertFalse(os.path.exists(self.local("nowhere")))
        self.assertEqual([name for name in os.listdir(self.dir) if "cairn-" in name], [])

    def test_the_namespace_commands(self):
        self.local("x", b"12345")
        self.cairn("put", "-p", self.local("x"), "cairn://b/deep/dir/")
        self.assertIn("5 B", self.cairn("ls", "-l", "b/deep/dir").out)
        stat = self.cairn("stat", "/b/deep/dir/x", "-o", "json").json()
        self.assertEqual((stat["type"], stat["size_bytes"], stat["crc32c"]), ("file", 5, "18d12335"))
        self.assertEqual(self.cairn("mv", "b/deep/dir/x", "b/deep").out, "moved b/deep/dir/x to b/deep/x\n")
        self.cairn("stat", "b/deep/dir/x", code=1)
        self.assertEqual(self.cairn("ls", "b/deep").out, "dir/\nx\n")
        self.assertIn("cannot remove b/deep", self.cairn("rm", "-y", "b/deep", code=1).err)
        self.cairn("rm", "-y", "-r", "b/deep")
        self.assertEqual(self.cairn("ls", "b").out, "")

    def test_a_put_replaces_a_file_whole(self):
        self.local("old", b"old content")
        self.local("new", b"new")
        self.cairn("put", self.local("old"), "b/file")
        self.cairn("put", self.local("new"), "b/file")
        self.assertEqual(self.cairn("cat", "b/file").raw, b"new")

    def test_bad_names_and_unknown_buckets_are_refused_in_words(self):
        self.local("x", b"1")
        for path in ("nobucket/x", "b/../x", "b//x", "b/" + "n" * 256, "b/" + "/".join(["d" * 200] * 25)):
            result = self.cairn("put", self.local("x"), path, code=1)
            self.assertTrue(result.err.startswith("cairn: "), result.err)
            self.assertEqual(result.err.count("\n"), 1, result.err)

    def test_status_tells_of_the_node(self):
        table = self.cairn("status").out
        self.assertIn("TARGET  NODE  STATE", table)
        status = self.cairn("status", "--output", "json").json()
        self.assertEqual(status["targets"][0]["state"], "up")
        self.assertGreaterEqual(status["targets"][0]["capacity_bytes"], 900 * MIB)
        self.assertEqual(len(status["cluster_id"]), 36)
        self.assertGreater(status["slabs"], 0)


class CliWithoutServer(CliTest):
    START = False

    def test_unreachable_exits_four(self):
        result = self.cairn("status", "--endpoint", "127.0.0.1:1", "--timeout", "300ms", code=4)
        self.assertTrue(result.err.startswith("cairn: cannot connect to 127.0.0.1:1: "), result.err)
        self.assertEqual(result.err.count("\n"), 1)
        error = self.cairn("ls", "-o", "json", "--timeout", "300ms", code=4, CAIRN_ENDPOINT="127.0.0.1:1").json()
        self.assertEqual(error["error"]["code"], "UNAVAILABLE")

    def test_bad_arguments_exit_one_before_connecting(self):
        for arguments in (["ls", "--frob"], ["put", "x"], ["ckpt"], ["--timeout", "soon", "ls"]):
            self.assertIn("bad arguments", self.cairn(*arguments, code=1).err)
        self.cairn("--help")
        self.cairn("ckpt", "verify", "--help")


if __name__ == "__main__":
    unittest.main()
