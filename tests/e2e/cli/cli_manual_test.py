"""Goal: the manual pages are sound for the programs that show them, and complete. Method: all pages are written and
given to mandoc and groff, where they are installed, which complain of what they do not understand."""

import glob
import os
import shutil
import subprocess
import unittest

from cli_harness import PATIENCE_S, CliTest


class CliManual(CliTest):
    START = False

    def setUp(self):
        super().setUp()
        self.cairn("man", "--directory", self.local("man1"))
        self.pages = sorted(glob.glob(os.path.join(self.local("man1"), "*.1")))
        self.assertGreater(len(self.pages), 50)

    def check(self, *command):
        if shutil.which(command[0]) is None:
            self.skipTest(f"{command[0]} is not installed; tools/setup --test brings it")
        for page in self.pages:
            checked = subprocess.run([*command, page], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                     timeout=PATIENCE_S, check=False)
            self.assertEqual((checked.returncode, checked.stdout), (0, b""), page)

    def test_mandoc_has_no_warning(self):
        # References to pages that the system lacks are none of its business.
        self.check("mandoc", "-Tlint", "-Wwarning")

    def test_groff_has_no_warning(self):
        self.check("groff", "-man", "-ww", "-z", "-Tutf8")


if __name__ == "__main__":
    unittest.main()
