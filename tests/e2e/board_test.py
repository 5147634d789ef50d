"""Goal: what cairnd prints when it is ready is true and can be pasted. Method: the printed lines, run as they stand by
a shell and by Python, which know the node from nowhere else."""

import importlib.machinery
import json
import os
import subprocess
import sys
import unittest

from cairn_harness import BUILD_DIR, PATIENCE_S, CairnTest, free_port, program

PACKAGE = os.path.join(BUILD_DIR, "python")


def why_no_package():
    """Why this interpreter cannot import the build's Python package; None when it can."""
    extensions = [f"_cairn{suffix}" for suffix in importlib.machinery.EXTENSION_SUFFIXES]
    if not any(os.path.exists(os.path.join(PACKAGE, "cairn", name)) for name in extensions):
        return f"{PACKAGE} holds no Python package for {sys.executable} (CAIRN_PYTHON is off, or for another one)"
    return None


class Board(CairnTest):
    def run_pasted(self, command, **environment):
        """What it prints. It finds nothing but by what was printed, and leaves nothing outside the test's directory."""
        clean = {name: value for name, value in os.environ.items() if name != "CAIRN_ENDPOINT"}
        done = subprocess.run(command, cwd=self.dir, env={**clean, **environment}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        self.assertEqual(done.returncode, 0, f"{command}\n{done.stdout}{done.stderr}")
        return done.stdout

    def run_shell_line(self, server):
        if not os.path.exists(program("cairn")):
            self.skipTest("this build has no command line (CAIRN_CLI is off)")
        path = os.pathsep.join([os.path.dirname(program("cairn")), os.environ["PATH"]])
        shown = self.run_pasted(["sh", "-c", server.board("shell")], PATH=path)
        self.assertIn(server.board("cluster"), shown)

    def run_python_line(self, server):
        reason = why_no_package()
        if reason:
            self.skipTest(reason)
        code = f"import cairn, json\nclient = {server.board('python')}\nprint(json.dumps(client.status()))\n"
        shown = self.run_pasted([sys.executable, "-B", "-c", code], PYTHONPATH=PACKAGE)
        self.assertEqual(json.loads(shown)["cluster_id"], server.board("cluster"))

    def test_it_names_the_endpoint_and_the_data_directory(self):
        server = self.cairnd().start()
        self.assertRegex(server.board("endpoint"), r"^127\.0\.0\.1:[1-9]\d*$")
        self.assertIn(server.data + " (1 target, ", server.board("data"))
        self.assertRegex(server.board("cluster"), r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

    def test_the_space_in_use_is_that_of_this_moment(self):
        server = self.cairnd().start()
        self.assertIn(" 0 B used", server.board("data"))
        self.sdk(server).ask("put", path="b/f.seed1", bytes=8 << 20)
        server.stop()
        self.assertIn(" 8.0 MiB used", self.cairnd().start().board("data"))

    def test_the_shell_line_works(self):
        self.run_shell_line(self.cairnd().start())

    def test_the_python_line_works(self):
        self.run_python_line(self.cairnd().start())

    def test_both_lines_work_where_another_address_is_advertised(self):
        port = free_port()
        server = self.cairnd(settings={"advertise": f"localhost:{port}"}, listen=f"127.0.0.1:{port}").start()
        self.assertEqual(server.endpoint, f"localhost:{port}")
        self.run_both(server)

    def test_both_lines_work_on_this_machine_where_it_listens_on_all_addresses(self):
        self.run_both(self.cairnd(listen="0.0.0.0:0").start())

    def run_both(self, server):
        for run in (self.run_shell_line, self.run_python_line):
            with self.subTest(run.__name__):
                run(server)


if __name__ == "__main__":
    unittest.main()
