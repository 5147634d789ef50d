"""Goal: cairnd starts, stops cleanly, and refuses in clear words what it must not touch. Method: real data directories
in every state that an operator can bring about."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import unittest

from cairn_harness import CairnTest, MIB


def crc32c(data):
    """CRC32C, to forge files with a right checksum and a wrong content."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class ServerLifecycle(CairnTest):
    def assert_does_not_start(self, server, *words):
        """It ends by itself, not with 0 and not by a signal, and its last words have `words` in any case."""
        with self.assertRaises(RuntimeError):
            server.start()
        self.assertGreater(server.process.returncode, 0, server.log())
        for word in words:
            self.assertIn(word.lower(), server.log().lower())

    def test_stops_cleanly_on_sigterm_and_keeps_everything(self):
        server = self.cairnd().start()
        self.sdk(server).ask("save", path="b/run/step-1", world=2, bytes=5 * MIB)
        self.assertEqual(server.stop(), 0)
        server = self.cairnd().start()
        self.sdk(server).ask("verify", path="b/run/step-1")
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(), 0)

    def test_stops_while_a_client_is_in_the_middle_of_a_save(self):
        server = self.cairnd().start()
        sdk = self.sdk(server, timeout_ms=2000)
        sdk.ask("begin", id="w", path="b/run/step-1", world=1)
        sdk.ask("shard", id="w", shard="s", name="s.seed1.bin")
        sdk.ask("write", shard="s", bytes=64 * MIB, seed=1)
        self.assertEqual(server.stop(), 0)
        self.assert_refused(("UNAVAILABLE", "DEADLINE_EXCEEDED"), "", sdk.ask, "close", shard="s")

    def test_a_directory_in_use_is_refused(self):
        first = self.cairnd().start()
        second = self.cairnd()
        self.assert_does_not_start(second, "in use", str(first.process.pid))
        self.sdk(first).ask("put", path="b/f.seed1", bytes=10)

    def test_a_port_in_use_is_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.assert_does_not_start(self.cairnd(listen=f"127.0.0.1:{port}"), str(port))

    def test_a_directory_of_another_cluster_is_refused(self):
        self.cairnd().start().stop()
        other = "00000000-0000-4000-8000-000000000000"
        self.assert_does_not_start(self.cairnd(settings={"cluster_id": other}), "cluster", other)

    def test_a_target_of_another_cluster_is_refused(self):
        one, two = self.cairnd("one"), self.cairnd("two")
        one.start().stop()
        two.start().stop()
        os.replace(self.target_file(one.data), self.target_file(two.data))
        self.assert_does_not_start(self.cairnd("two"), "cluster")

    def test_a_missing_target_is_refused_not_made_anew(self):
        server = self.cairnd().start()
        self.sdk(server).ask("put", path="b/f.seed1", bytes=100000)
        server.stop()
        os.unlink(self.target_file(server.data))
        self.assert_does_not_start(self.cairnd(), "target 1", "blank", "wiped")

    def target_file(self, data):
        """The one large file of a data directory."""
        files = [os.path.join(folder, name) for folder, _, names in os.walk(data) for name in names]
        return max(files, key=os.path.getsize)

    def test_another_format_version_is_refused(self):
        server = self.cairnd().start()
        server.stop()
        path = os.path.join(server.data, "cairn.id")
        with open(path, "rb") as file:
            identity = file.read()
        # Field 1, a varint: the format version (proto/disk/FORMAT.md).
        body = bytearray(identity[16:])
        self.assertEqual(body[0], 8)
        body[1] = 99
        with open(path, "wb") as file:
            file.write(identity[:8] + struct.pack("<II", len(body), crc32c(body)) + body)
        self.assert_does_not_start(self.cairnd(), "version 99", "cairn.id")

    def test_a_damaged_identity_is_refused(self):
        server = self.cairnd().start()
        server.stop()
        path = os.path.join(server.data, "cairn.id")
        with open(path, "r+b") as file:
            file.seek(20)
            byte = file.read(1)[0]
            file.seek(20)
            file.write(bytes([byte ^ 1]))
        self.assert_does_not_start(self.cairnd(), "cairn.id", "checksum")

    def test_a_directory_that_holds_something_else_is_refused(self):
        os.makedirs(os.path.join(self.dir, "data"))
        with open(os.path.join(self.dir, "data", "thesis.tex"), "w", encoding="ascii") as file:
            file.write("important")
        self.assert_does_not_start(self.cairnd(), "thesis.tex")

    def test_a_missing_parent_is_refused(self):
        server = self.cairnd()
        server._command[server._command.index("--data") + 1] = os.path.join(self.dir, "not/there")
        self.assert_does_not_start(server, "not/there")

    def test_a_read_only_directory_is_refused(self):
        data = os.path.join(self.dir, "data")
        os.makedirs(data)
        if os.geteuid() != 0:
            os.chmod(data, 0o555)
        elif shutil.which("mount") and subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "ro", "none", data], capture_output=True, check=False).returncode == 0:
            self.addCleanup(subprocess.run, ["umount", data], check=False)
        else:
            self.skipTest("root may write anywhere, and mounting a read-only filesystem is not allowed here")
        self.assert_does_not_start(self.cairnd(), data)

    def test_a_wrong_configuration_is_refused_with_its_name(self):
        cases = (({"slabs": 3}, ["slabs", "unknown"]),
                 ({"slab_memory": 3}, ["slab_memory"]),
                 ({"slab_memory": "lots"}, ["slab_memory", "lots"]),
                 ({"provider": "carrier-pigeon"}, ["carrier-pigeon"]),
                 ({"targets": [{"size": "lots"}]}, ["target", "size", "lots"]),
                 ({"targets": [{"size": "1KiB"}]}, ["size"]))
        for number, (settings, words) in enumerate(cases):
            with self.subTest(settings=settings):
                # A number: the directory's name, which messages quote, must not hold the words looked for.
                self.assert_does_not_start(self.cairnd(f"data{number}", settings=settings), *words)

    def test_a_configuration_that_is_no_toml_is_refused_with_its_line(self):
        server = self.cairnd()
        with open(server.data + ".toml", "a", encoding="ascii") as file:
            file.write("\nthis is not TOML\n")
        self.assert_does_not_start(server, "data.toml")

    def test_more_than_the_filesystem_has_is_refused(self):
        self.assert_does_not_start(self.cairnd(settings={"targets": [{"size": "4000TiB"}]}), "no space", "size")


if __name__ == "__main__":
    unittest.main()
