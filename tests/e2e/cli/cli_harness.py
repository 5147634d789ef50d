"""The command `cairn` against a cairnd of the test's own; builds on the harness of the folder above."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from cairn_harness import MIB, PATIENCE_S, CairnTest, program, wait_until  # noqa: E402,F401


class Result:
    """How a command ended and what it printed."""

    def __init__(self, completed):
        self.code = completed.returncode
        self.raw = completed.stdout
        self.out = completed.stdout.decode("utf-8", "replace")
        self.err = completed.stderr.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.out)


class CliTest(CairnTest):
    """Starts a cairnd unless START is False; cairn() runs a command against it."""

    START = True
    SETTINGS = {"targets": [{"size": "1GiB"}], "reclaim_grace_seconds": 1}

    def setUp(self):
        super().setUp()
        self.server = None
        if self.START:
            self.server = self.cairnd(settings=self.SETTINGS).start()

    def environment(self, **more):
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith("CAIRN_") and name not in ("NO_COLOR", "CLICOLOR_FORCE")}
        # A developer's own configuration is none of the tests' business.
        environment["XDG_CONFIG_HOME"] = os.path.join(self.dir, "no-config")
        if self.server is not None:
            environment["CAIRN_ENDPOINT"] = self.server.endpoint
        environment.update(more)
        return environment

    def cairn(self, *arguments, code=0, stdin=b"", **environment):
        """Runs it to its end and checks its exit code."""
        completed = subprocess.run([program("cairn"), *arguments], input=stdin, capture_output=True,
                                   env=self.environment(**environment), timeout=PATIENCE_S, check=False)
        result = Result(completed)
        self.assertEqual(result.code, code, f"cairn {' '.join(arguments)}\n{result.out}{result.err}")
        return result

    def local(self, name, content=None):
        """The path of a local file, written when there is content."""
        path = os.path.join(self.dir, name)
        if content is not None:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)
        return path

    def read_local(self, name):
        with open(self.local(name), "rb") as file:
            return file.read()
