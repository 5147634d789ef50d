"""Goal: on a terminal there are progress bars, colors and a clean Ctrl-C; elsewhere there is nothing of it. Method:
the command under a pseudo-terminal, its input fed piece by piece so that a transfer lasts as long as the test wants."""

import os
import pty
import selectors
import signal
import subprocess
import time
import unittest

from cli_harness import MIB, PATIENCE_S, CliTest, program, wait_until


class Terminal:
    """A command whose stderr (and stdout, if wanted) is a terminal and whose stdin is a pipe of ours."""

    def __init__(self, test, arguments, stdout_too=False, **environment):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen([program("cairn"), *arguments], stdin=subprocess.PIPE, bufsize=0,
                                        stdout=slave if stdout_too else subprocess.DEVNULL, stderr=slave,
                                        env=test.environment(TERM="xterm", **environment), start_new_session=True)
        os.close(slave)
        self.shown = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._master, selectors.EVENT_READ)
        test.addCleanup(self.close)

    def pump(self, timeout_s):
        """Takes what the terminal got; False when nothing came or it was closed."""
        if not self._selector.select(timeout_s):
            return False
        try:
            chunk = os.read(self._master, 65536)
        except OSError:  # EIO: nobody has the other end any more
            return False
        self.shown += chunk
        return bool(chunk)

    def finish(self):
        """Closes stdin, and waits for the end. The exit code."""
        self.process.stdin.close()
        code = self.process.wait(PATIENCE_S)
        while self.pump(0):
            pass
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(PATIENCE_S)
        self.process.stdin.close()
        self._selector.close()
        os.close(self._master)


class CliTerminal(CliTest):
    def setUp(self):
        super().setUp()
        self.cairn("mkdir", "b")

    def feed_until(self, terminal, words):
        """Feeds stdin until the terminal shows `words`. Each piece is a transfer buffer long."""
        piece, deadline = bytes(32 * MIB), time.monotonic() + PATIENCE_S
        fed = 0
        while words not in terminal.shown:
            self.assertLess(time.monotonic(), deadline, terminal.shown)
            self.assertLess(fed, 20, "no bar after 640 MiB")
            terminal.process.stdin.write(piece)
            fed += 1
            while terminal.pump(0.1):
                pass
        return fed

    def test_a_long_transfer_shows_a_bar_and_clears_it(self):
        terminal = Terminal(self, ["put", "-", "b/long"])
        fed = self.feed_until(terminal, b"put long  ")
        self.assertEqual(terminal.finish(), 0, terminal.shown)
        self.assertIn(b"MiB", terminal.shown)
        self.assertIn(b"/s", terminal.shown)
        self.assertTrue(terminal.shown.endswith(b"\r\x1b[K"), terminal.shown[-80:])
        self.assertEqual(self.cairn("stat", "b/long", "-o", "json").json()["size_bytes"], fed * 32 * MIB)

    def test_a_bar_with_a_known_total_has_percent_and_eta(self):
        self.local("big", bytes(64 * MIB))
        terminal = Terminal(self, ["put", self.local("big"), "b/big", "--progress", "always"])
        self.assertEqual(terminal.finish(), 0)
        self.assertRegex(terminal.shown.decode(), r"put big +\d+% \[=*>? *\] [\d.]+ MiB of 64.0 MiB +[\d.]+ .B/s +eta")

    def test_a_quick_transfer_shows_nothing(self):
        self.local("x", b"1")
        terminal = Terminal(self, ["put", self.local("x"), "b/x"])
        self.assertEqual(terminal.finish(), 0)
        self.assertEqual(terminal.shown, b"")

    def test_never_means_never(self):
        terminal = Terminal(self, ["put", "-", "b/x", "--progress", "never"])
        terminal.process.stdin.write(bytes(33 * MIB))
        self.assertEqual(terminal.finish(), 0)
        self.assertEqual(terminal.shown, b"")

    def test_colors_on_a_terminal_unless_no_color(self):
        colored = Terminal(self, ["status"], stdout_too=True)
        self.assertEqual(colored.finish(), 0)
        self.assertIn(b"\x1b[1m", colored.shown)
        plain = Terminal(self, ["status"], stdout_too=True, NO_COLOR="1")
        self.assertEqual(plain.finish(), 0)
        self.assertNotIn(b"\x1b", plain.shown)
        self.assertNotIn("\x1b", self.cairn("status").out)

    def test_ctrl_c_ends_with_130_and_leaves_nothing(self):
        terminal = Terminal(self, ["put", "-", "b/cut"])
        terminal.process.stdin.write(bytes(40 * MIB))
        # It waits for a stdin that is open and gives nothing. The grace time that would end it anyway is 5 s.
        begin = time.monotonic()
        terminal.process.send_signal(signal.SIGINT)
        self.assertEqual(terminal.process.wait(PATIENCE_S), 130)
        self.assertLess(time.monotonic() - begin, 4)
        while terminal.pump(0):
            pass
        self.assertIn(b"cairn: interrupted", terminal.shown)
        self.cairn("stat", "b/cut", code=1)

    def test_a_second_signal_ends_it_at_once(self):
        terminal = Terminal(self, ["put", "-", "b/cut"])
        terminal.process.stdin.write(bytes(MIB))
        terminal.process.send_signal(signal.SIGTERM)
        self.wait_for_pending_signal_taken(terminal.process.pid)
        terminal.process.send_signal(signal.SIGTERM)
        self.assertEqual(terminal.process.wait(PATIENCE_S), 143)

    def wait_for_pending_signal_taken(self, pid):
        """Until the process has no signal waiting: two of one kind that wait are one."""
        def taken():
            with open(f"/proc/{pid}/status", encoding="ascii") as status:
                fields = dict(line.split(":", 1) for line in status)
            return int(fields["ShdPnd"], 16) == 0
        wait_until(taken, "the signal is taken")

    def test_a_closed_pipe_ends_it_quietly(self):
        self.local("x", bytes(8 * MIB))
        self.cairn("put", self.local("x"), "b/x")
        process = subprocess.Popen([program("cairn"), "cat", "b/x"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=self.environment())
        process.stdout.read(10)
        process.stdout.close()
        self.assertEqual(process.wait(PATIENCE_S), 141)
        self.assertEqual(process.stderr.read(), b"")
        process.stderr.close()


if __name__ == "__main__":
    unittest.main()
