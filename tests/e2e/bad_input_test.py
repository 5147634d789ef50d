"""Goal: nothing that arrives on the port and no name harms the server or gets a vague answer. Method: garbage from
plain sockets and bad names through the SDK, with another client that must go on working."""

import os
import random
import socket
import struct
import unittest

from cairn_harness import CairnTest, PATIENCE_S


class BadInput(CairnTest):
    def setUp(self):
        super().setUp()
        self.server = self.cairnd().start()
        self.sdk_process = self.sdk(self.server)
        self.ask = self.sdk_process.ask

    def dial(self):
        host, port = self.server.endpoint.rsplit(":", 1)
        connection = socket.create_connection((host, int(port)), timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        return connection

    def assert_still_serving(self):
        self.assertTrue(self.server.running(), self.server.log()[-2000:])
        self.ask("save", path="b/alive/step-1", bytes=100000)
        self.ask("verify", path="b/alive/step-1")
        self.ask("remove", path="b/alive/step-1")
        self.sdk(self.server)  # a new hello still gets through

    def send_and_drain(self, data):
        """Sends, hangs up the sending side and reads until the server has closed too."""
        connection = self.dial()
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65536):
                pass
        except OSError:
            pass  # the server may reset a connection that talks nonsense
        connection.close()

    def test_random_bytes(self):
        seed = random.SystemRandom().randrange(2**32)
        dice = random.Random(seed)
        for _ in range(200):
            with self.subTest(seed=seed):
                self.send_and_drain(dice.randbytes(dice.randrange(1, 4096)))
        self.assert_still_serving()

    def test_lengths_that_lie(self):
        for length in (0, 1, 16 * 1024, 16 * 1024 + 1, 2**31, 2**32 - 1):
            for order in "<>":
                self.send_and_drain(struct.pack(order + "I", length) + b"x" * 64)
                self.send_and_drain(struct.pack(order + "II", length, length) + b"\0" * 64)
        self.send_and_drain(b"GET / HTTP/1.1\r\nHost: cairn\r\n\r\n")
        self.send_and_drain(b"\0" * (1 << 20))
        self.send_and_drain(b"\xff" * (1 << 20))
        self.assert_still_serving()

    def test_a_hello_cut_short_and_altered(self):
        hello = self.record_hello()
        self.assertGreater(len(hello), 8)
        for end in range(0, len(hello), max(1, len(hello) // 16)):
            self.send_and_drain(hello[:end])
        dice = random.Random(7)
        for _ in range(200):
            altered = bytearray(hello)
            altered[dice.randrange(len(altered))] ^= 1 << dice.randrange(8)
            self.send_and_drain(bytes(altered))
        self.assert_still_serving()

    def record_hello(self):
        """What the SDK says first, taken by a listener of our own."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(PATIENCE_S)
            sdk = self.sdk()
            sdk.tell("connect", endpoint=f"127.0.0.1:{listener.getsockname()[1]}", timeout_ms=3000)
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(PATIENCE_S)
                hello = connection.recv(65536)
            sdk.kill()
            return hello

    def test_peers_that_connect_and_say_nothing(self):
        silent = [self.dial() for _ in range(300)]
        self.assert_still_serving()
        self.assertEqual(len(silent), 300)

    def test_names(self):
        bad = {
            "an empty one": "", "a NUL": "b/a\0b", "a parent": "b/../c", "a dot": "b/./c", "two slashes": "b//c",
            "a leading slash": "/b/c", "a trailing slash": "b/c/", "256 bytes": "b/" + "x" * 256,
            "over 4096 bytes": "b" + "/yyyyyyyyyyyyyyy" * 300,
        }
        for what, path in bad.items():
            with self.subTest(what):
                self.assert_refused("INVALID_ARGUMENT", "", self.ask, "put", path=path, bytes=10)
                self.assert_refused("INVALID_ARGUMENT", "", self.ask, "begin", id="w", path=path, world=1)
                if path:  # the empty path is the root: a place, but not one to write to
                    self.assert_refused("INVALID_ARGUMENT", "", self.ask, "stat", path=path)
        self.ask("put", path="b/" + "x" * 255, bytes=10)
        self.ask("put", path="b/ä ö%\x01", bytes=10)
        self.assert_still_serving()

    def test_unknown_things_are_not_found(self):
        for path in ("nobucket/file.seed1", "b/none.seed1"):
            for verb in ("stat", "get", "remove", "show", "verify"):
                self.assert_refused("NOT_FOUND", path.split("/")[0], self.ask, verb, path=path)
        self.assert_refused("NOT_FOUND", "", self.ask, "latest", path="nobucket/run")

    def test_an_endpoint_where_nobody_answers(self):
        sdk = self.sdk()
        with socket.socket() as reserved:
            reserved.bind(("127.0.0.1", 0))  # bound and not listening: refused
            endpoint = "127.0.0.1:%d" % reserved.getsockname()[1]
            self.assert_refused("UNAVAILABLE", endpoint, sdk.ask, "connect", endpoint=endpoint, timeout_ms=1000)
        self.assert_refused(("INVALID_ARGUMENT", "UNAVAILABLE"), "", sdk.ask, "connect", endpoint="no-port",
                            timeout_ms=1000)

    def test_something_else_answers_at_the_endpoint(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            sdk = self.sdk()
            sdk.tell("connect", endpoint="127.0.0.1:%d" % listener.getsockname()[1], timeout_ms=3000)
            listener.settimeout(PATIENCE_S)
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)
                self.assert_refused(("UNAVAILABLE", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "DEADLINE_EXCEEDED"),
                                    "", sdk.answer)

    def test_many_files_do_not_leak_descriptors(self):
        before = len(os.listdir(f"/proc/{self.server.pid()}/fd"))
        for _ in range(50):
            self.send_and_drain(b"nonsense")
        self.assert_still_serving()
        after = len(os.listdir(f"/proc/{self.server.pid()}/fd"))
        # Room for the SDK process that assert_still_serving leaves open and for RocksDB's files.
        self.assertLess(after, before + 25)


if __name__ == "__main__":
    unittest.main()
