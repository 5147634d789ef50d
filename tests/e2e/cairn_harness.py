"""Real cairnd and SDK processes for the end-to-end and fault tests.

Every test gets a directory of its own inside the build tree (direct I/O needs a real filesystem, which /tmp may
not be), and every process it starts is gone when it ends. Waiting is always for an event with a deadline: a line
of output, an exit, a state that the server reports; never for a time to pass.
"""

import contextlib
import json
import os
import random
import re
import selectors
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD_DIR = os.environ.get("CAIRN_BUILD_DIR") or os.path.join(ROOT, "build/dev")
MIB = 1024**2
# Far beyond what anything here takes on a loaded machine, so that only a hang reaches it.
PATIENCE_S = 60


def program(name):
    """The path of a program of the build under test."""
    return os.path.join(BUILD_DIR, "bin", name)


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on now, and that no outgoing connection gets."""
    for _ in range(1000):
        port = random.randrange(16_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port seems to be free")


def wait_until(condition, what, timeout_s=PATIENCE_S):
    """Asks `condition` again until it gives something true, which is returned. Fails naming `what`."""
    deadline = time.monotonic() + timeout_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen within {timeout_s} s: {what}")
        time.sleep(0.02)  # the interval of asking, not a guess at how long it takes


class LineReader:
    """Lines from a pipe, with a deadline."""

    def __init__(self, pipe):
        self._pipe = pipe
        self._pending = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(pipe, selectors.EVENT_READ)

    def read(self, timeout_s=PATIENCE_S):
        """The next line, or None at the end of the output. Raises TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise TimeoutError(f"no line within {timeout_s} s")
            chunk = os.read(self._pipe.fileno(), 65536)
            if not chunk:
                return None
            self._pending += chunk
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace")

    def close(self):
        self._selector.close()
        self._pipe.close()


def write_config(path, settings):
    """A configuration file from a dictionary; lists of dictionaries become arrays of tables."""
    with open(path, "w", encoding="ascii") as file:
        tables = []
        for name, value in settings.items():
            if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
                tables += [(name, table) for table in value]
            else:
                file.write(f"{name} = {json.dumps(value)}\n")
        for name, table in tables:
            file.write(f"\n[[{name}]]\n")
            for key, value in table.items():
                file.write(f"{key} = {json.dumps(value)}\n")


class Cairnd:
    """One cairnd. `settings` is its configuration, as proto/config/server.proto has it; `arguments` are flags besides
    those of every cairnd here, and `environment` is added to this process's."""

    def __init__(self, data, settings=None, wrapper=(), listen="127.0.0.1:0", log_path=None, arguments=(),
                 environment=None):
        self.data = data
        self.log_path = log_path or data.rstrip("/") + ".log"
        config = data.rstrip("/") + ".toml"
        write_config(config, {"targets": [{"size": "256MiB"}], "slab_memory": "64MiB", **(settings or {})})
        self._command = [*wrapper, program("cairnd"), "--data", data, "--listen", listen, "--config", config,
                         *arguments]
        # What the machine's own cairnd may know must not let a test's into a cluster.
        inherited = {name: value for name, value in os.environ.items() if name != "CAIRN_CLUSTER_SECRET"}
        self._environment = {**inherited, **(environment or {})}
        self.process = None
        self.endpoint = None
        self._reader = None
        self._board = {}
        self._log_start = 0

    def start(self):
        """Starts it and waits for its board. Raises RuntimeError with its last words when it ends instead."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self):
        """Starts it without waiting."""
        with open(self.log_path, "ab") as log:
            # Servers that follow each other on a directory share its log.
            self._log_start = log.seek(0, os.SEEK_END)
            self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=log, start_new_session=True, env=self._environment)
        self._reader = LineReader(self.process.stdout)
        self._board = {}

    def wait_ready(self):
        self.endpoint = self.board("endpoint")

    def board(self, name):
        """What the board says of `name`. Waits for that line; raises RuntimeError as start() does."""
        while name not in self._board:
            line = self._reader.read()
            if line is None:
                code = self.process.wait(PATIENCE_S)
                raise RuntimeError(f"cairnd ended with {code}: {self.log()[-2000:]}")
            match = re.fullmatch(r"  (\w+)\s+(.*\S)\s*", line)
            if match:
                self._board[match.group(1)] = match.group(2)
        return self._board[name]

    def has_board(self, name):
        """Whether it has printed that line, of those read so far."""
        return name in self._board

    def pid(self):
        """Of cairnd itself, also under a wrapper."""
        if os.path.basename(os.readlink(f"/proc/{self.process.pid}/exe")) == "cairnd":
            return self.process.pid
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            return int(children.read().split()[0])

    def log(self):
        """What has been logged since its launch: words of an earlier one must not pass for its own."""
        with open(self.log_path, "rb") as log:
            log.seek(self._log_start)
            return log.read().decode("utf-8", "replace")

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM, and its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def wait(self):
        code = self.process.wait(PATIENCE_S)
        self._reader.close()
        return code

    def kill(self):
        """SIGKILL to it and to a wrapper around it. Harmless when it has ended."""
        if self.running():
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)
        if self._reader:
            self._reader.close()


class SdkError(Exception):
    """What the SDK answered when it did not do what it was asked."""

    def __init__(self, answer):
        super().__init__(f"{answer['code']}: {answer['error']}")
        self.code = answer["code"]
        self.message = answer["error"]


class Sdk:
    """One process with the C++ SDK in it (sdk_driver), run by `wrapper`, a command that becomes what follows it."""

    def __init__(self, log_path, wrapper=()):
        self._log_path = log_path
        with open(log_path, "ab") as log:
            self.process = subprocess.Popen([*wrapper, program("sdk_driver")], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=log, start_new_session=True)
        self.pid = self.process.pid
        self._reader = LineReader(self.process.stdout)

    def tell(self, verb, **arguments):
        """Sends a command; `answer` gets what it says."""
        words = [verb] + [f"{name}={urllib.parse.quote(str(value), safe='/:.,-_')}"
                          for name, value in arguments.items()]
        self.process.stdin.write(" ".join(words).encode() + b"\n")
        self.process.stdin.flush()

    def answer(self, timeout_s=PATIENCE_S):
        """What it did, or an SdkError."""
        line = self._reader.read(timeout_s)
        if line is None:
            with open(self._log_path, encoding="utf-8", errors="replace") as log:
                raise RuntimeError(f"sdk_driver ended with {self.process.wait()}: {log.read()[-2000:]}")
        answer = json.loads(line)
        if not answer["ok"]:
            raise SdkError(answer)
        return answer

    def ask(self, verb, timeout_s=PATIENCE_S, **arguments):
        self.tell(verb, **arguments)
        return self.answer(timeout_s)

    def status(self):
        """The node's status; protobuf JSON gives 64-bit numbers as text."""
        status = self.ask("status")["status"]
        status["counters"] = {name: int(value) for name, value in status.get("counters", {}).items()}
        return status

    def counter(self, name):
        return self.status()["counters"].get(name, 0)

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        if self.process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_S)
        self.process.stdin.close()
        self._reader.close()


class CairnTest(unittest.TestCase):
    """A test with a directory of its own, and processes that end with it."""

    def setUp(self):
        base = os.path.join(BUILD_DIR, "tests", "scratch")
        os.makedirs(base, exist_ok=True)
        # Not named after the test: messages quote paths, and a word of the name would pass for one of the message.
        self.dir = tempfile.mkdtemp(dir=base)
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self._count = 0

    def cairnd(self, name="data", settings=None, **options):
        """A cairnd that is not started yet; killed at the end of the test."""
        server = Cairnd(os.path.join(self.dir, name), settings, **options)
        self.addCleanup(server.kill)
        return server

    def sdk(self, server=None, wrapper=(), **options):
        """An SDK process, connected when a server is given; then there is a bucket "b"."""
        self._count += 1
        sdk = Sdk(os.path.join(self.dir, f"sdk{self._count}.log"), wrapper)
        self.addCleanup(sdk.kill)
        if server is not None:
            sdk.ask("connect", endpoint=server.endpoint, **options)
            sdk.ask("mkdir", path="b")
        return sdk

    def assert_refused(self, code, words, call, *arguments, **named):
        """`call` raises an SdkError of that code whose message has all of `words`, in any case."""
        with self.assertRaises(SdkError) as caught:
            call(*arguments, **named)
        codes = code if isinstance(code, tuple) else (code,)
        self.assertIn(caught.exception.code, codes, caught.exception.message)
        for word in words.split():
            self.assertIn(word.lower(), caught.exception.message.lower())
        return caught.exception
