"""Goal: lists stream as lines, watches end by Ctrl-C with 130, and settings come from where they should, against a
real node. Method: the command as a person or a script runs it; a watch is ended once it has shown two looks."""

import json
import os
import signal
import subprocess
import unittest

from cli_harness import PATIENCE_S, CliTest, program


class CliOutput(CliTest):
    def setUp(self):
        super().setUp()
        self.cairn("mkdir", "b", "c")

    def lines(self, *arguments):
        return [json.loads(line) for line in self.cairn(*arguments, "-o", "ndjson").out.splitlines()]

    def test_lists_are_the_same_as_lines_and_as_an_array(self):
        self.local("tree/x", b"1")
        self.local("tree/d/y", b"22")
        self.cairn("put", "-r", self.local("tree"), "b/tree")
        for command in (["ls"], ["ls", "-r", "b"], ["node", "ls"], ["target", "ls"], ["bucket", "ls"]):
            array = self.cairn(*command, "-o", "json").json()
            self.assertEqual(self.lines(*command), array, command)
            self.assertGreater(len(array), 0, command)
        self.assertEqual(len(self.lines("status")), 1)
        self.assertTrue(self.lines("fsck")[-1]["ok"])

    def test_a_watch_ends_with_130_after_ctrl_c(self):
        for command in (["status"], ["health"], ["node", "ls"], ["target", "ls"], ["ckpt", "ls"], ["scrub", "status"]):
            process = subprocess.Popen([program("cairn"), *command, "--watch=100ms", "-o", "ndjson"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self.environment())
            with process:
                looks = [json.loads(process.stdout.readline()) for _ in range(2)]
                process.send_signal(signal.SIGINT)
                self.assertEqual(process.wait(PATIENCE_S), 130, command)
                self.assertEqual(process.stderr.read(), b"cairn: interrupted\n")
            self.assertEqual(type(looks[0]), type(looks[1]))

    def test_a_watch_of_a_rebuild_ends_by_itself(self):
        self.assertIn("nothing is left to move", self.cairn("rebuild", "status", "--watch").out)

    def test_a_watch_ends_when_its_reader_goes(self):
        process = subprocess.Popen([program("cairn"), "health", "--watch=100ms"], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, env=self.environment())
        with process:
            process.stdout.readline()
            process.stdout.close()
            self.assertEqual(process.wait(PATIENCE_S), 141)

    def test_settings_come_from_the_file_the_environment_and_the_options(self):
        config = self.local("cairn/config.toml", f'endpoint = "{self.server.endpoint}"\noutput = "json"\n'.encode())
        os.chmod(config, 0o600)
        # The endpoint is in the file alone.
        found = self.cairn("ls", CAIRN_ENDPOINT="", XDG_CONFIG_HOME=self.dir).json()
        self.assertEqual([each["path"] for each in found], ["b", "c", "default"])
        table = self.cairn("ls", CAIRN_ENDPOINT="", XDG_CONFIG_HOME=self.dir, CAIRN_OUTPUT="table").out
        self.assertEqual(table, "b/\nc/\ndefault/\n")
        self.cairn("ls", "-e", "127.0.0.1:1", "--timeout", "300ms", CAIRN_CONFIG=config, code=4)
        shown = self.cairn("config", "show", CAIRN_ENDPOINT="", CAIRN_CONFIG=config).json()
        self.assertEqual(shown["file"], config)
        self.assertEqual(shown["settings"][0]["where"], config + ":1")
        os.chmod(config, 0o602)
        self.assertIn("others can write this file", self.cairn("ls", CAIRN_CONFIG=config, code=1).err)

    def test_what_removes_asks_first_and_a_dry_run_removes_nothing(self):
        self.local("x", b"12345")
        self.cairn("put", "-p", self.local("x"), "b/d/")
        self.assertIn("add --yes", self.cairn("rm", "-r", "b/d", code=1).err)
        self.assertEqual(self.cairn("rm", "-r", "b/d", "-n").out, "would remove b/d: 1 file, 5 B\n")
        self.assertEqual(self.cairn("ls", "b/d").out, "x\n")
        self.cairn("rm", "-r", "b/d", "--yes")
        self.cairn("stat", "b/d", code=1)
        self.assertIn("would drain node 1", self.cairn("node", "drain", "1", "--force", "-n").out)
        self.assertEqual(self.cairn("node", "ls", "-o", "json").json()[0]["draining"], False)


if __name__ == "__main__":
    unittest.main()
