"""Goal: bash, zsh and fish complete commands, options, words, paths and numbers of `cairn`. Method: each shell itself
under a pseudo-terminal; a line is typed, Tab pressed, and the shell made to print the words that came of it."""

import fcntl
import os
import pty
import re
import select
import shutil
import subprocess
import termios
import time
import unittest

from cli_harness import PATIENCE_S, CliTest, program

TO_BEGINNING_OF_LINE, TO_END_OF_LINE = b"\x01", b"\x05"


class Typed:
    """An interactive shell with the completion of cairn."""

    START = {
        "bash": (["bash", "--norc", "--noprofile", "-i"], "source <(cairn completion bash)"),
        "zsh": (["zsh", "-f", "-i"], "autoload -U compinit; compinit -u -D; source <(cairn completion zsh)"),
        "fish": (["fish", "--no-config", "-i"], "cairn completion fish | source"),
    }

    def __init__(self, test, shell):
        arguments, load = self.START[shell]
        master, slave = pty.openpty()
        self._master = master
        path = os.path.dirname(program("cairn")) + os.pathsep + os.environ["PATH"]
        # Shells edit lines on a terminal that is theirs.
        self.process = subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0), cwd=test.dir,
                                        env=test.environment(TERM="xterm", PATH=path, HOME=test.dir, PS1="$ ",
                                                             HISTFILE=""))
        os.close(slave)
        self.shown = b""
        test.addCleanup(self.close)
        self._type(load.encode() + b"; printf 'rea''dy\\n'\n")
        self._read_until(rb"ready\r?\n")

    def complete(self, line):
        """The words of the line after a Tab at its end."""
        self.shown = b""
        # What has been completed becomes the arguments of a printf, with a last one of ours.
        self._type(line.encode() + b"\t" + TO_BEGINNING_OF_LINE + b"printf '<%s>\\n' " + TO_END_OF_LINE + b" --end\n")
        self._read_until(rb"<--end>\r?\n")
        words = [word.decode() for word in re.findall(rb"<([^>%\r\n]*)>\r?\n", self.shown)]
        return words[1:-1]

    def close(self):
        self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self._master)

    def _type(self, keys):
        os.write(self._master, keys)

    def _read_until(self, pattern):
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.shown):
            if time.monotonic() > deadline:
                raise AssertionError(f"the shell has shown only {self.shown!r}")
            if select.select([self._master], [], [], 1)[0]:
                self.shown += os.read(self._master, 65536)


class CliCompletion(CliTest):
    def check(self, shell):
        if shutil.which(shell) is None:
            self.skipTest(f"{shell} is not installed; tools/setup --test brings it")
        self.cairn("mkdir", "bucket/run/deep")
        self.local("file-here", b"1")
        self.cairn("put", self.local("file-here"), "bucket/run/file")
        typed = Typed(self, shell)
        for line, words in (
            ("cairn heal", ["health"]),
            ("cairn ckpt veri", ["ckpt", "verify"]),
            ("cairn ls --recurs", ["ls", "--recursive"]),
            ("cairn ls --output ndj", ["ls", "--output", "ndjson"]),
            ("cairn ls --output=ndj", ["ls", "--output=ndjson"]),
            ("cairn --timeout 5s heal", ["--timeout", "5s", "health"]),
            ("cairn bucket create x --spread tar", ["bucket", "create", "x", "--spread", "targets"]),
            ("cairn ls buck", ["ls", "bucket/"]),
            ("cairn ls bucket/r", ["ls", "bucket/run/"]),
            ("cairn ls cairn://bucket/r", ["ls", "cairn://bucket/run/"]),
            ("cairn stat bucket/run/f", ["stat", "bucket/run/file"]),
            ("cairn ckpt ls bucket/run/d", ["ckpt", "ls", "bucket/run/deep/"]),
            ("cairn bucket show buck", ["bucket", "show", "bucket"]),
            ("cairn node drain ", ["node", "drain", "1"]),
            ("cairn target rm ", ["target", "rm", "1"]),
            ("cairn put file-h", ["put", "file-here"]),
            ("cairn get bucket/run/file file-h", ["get", "bucket/run/file", "file-here"]),
            ("cairn -e 127.0.0.1:1 node drain ", ["-e", "127.0.0.1:1", "node", "drain"]),
        ):
            with self.subTest(shell=shell, line=line):
                self.assertEqual(typed.complete(line), words, typed.shown)

    def test_bash_completes(self):
        self.check("bash")

    def test_zsh_completes(self):
        self.check("zsh")

    def test_fish_completes(self):
        self.check("fish")


if __name__ == "__main__":
    unittest.main()
