"""A proxy before an S3 service that answers a share of the requests as a service in trouble does: with errors, with half a
body, late, or not at all. What it lets through it does not change, so that signatures hold."""

import http.client
import http.server
import random
import socket
import struct
import threading

KINDS = ("429", "500", "503", "reset", "half", "late", "done-and-lost")
LATE_S = 1.0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *arguments):
        pass

    def _reset(self):
        # Closed with unsent data and no lingering, a connection is reset.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def _refuse(self, code):
        body = (b'<?xml version="1.0"?><Error><Code>' + {429: b"SlowDown", 500: b"InternalError", 503: b"SlowDown"}[code] +
                b"</Code><Message>injected</Message></Error>")
        self.send_response_only(code)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _forward(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.server.choose()
        if kind in ("429", "500", "503"):
            return self._refuse(int(kind))
        if kind == "reset":
            return self._reset()
        if kind == "late":
            self.server.stopping.wait(LATE_S)
        backend = http.client.HTTPConnection("127.0.0.1", self.server.backend_port, timeout=30)
        try:
            backend.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    backend.putheader(name, value)
            backend.endheaders(body or None)
            answer = backend.getresponse()
            content = answer.read()
        finally:
            backend.close()
        if kind == "done-and-lost":
            return self._reset()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if kind == "half" and content:
            self.wfile.write(content[: len(content) // 2])
            return self._reset()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward


class FaultyProxy(http.server.ThreadingHTTPServer):
    """Before the service at `backend_port`; `share` of the requests are disturbed, in one of the ways in `kinds`."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, backend_port, seed):
        super().__init__(("127.0.0.1", 0), Handler)
        self.backend_port, self.share, self.kinds = backend_port, 0.0, KINDS
        self.disturbed = dict.fromkeys(KINDS, 0)
        self.stopping = threading.Event()
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def choose(self):
        with self._lock:
            if self._random.random() >= self.share:
                return None
            # In turn, so that none is missed by chance.
            kind = self.kinds[sum(self.disturbed.values()) % len(self.kinds)]
            self.disturbed[kind] += 1
            return kind

    def handle_error(self, request, client_address):
        pass  # a client that went away is what this is for

    def stop(self):
        self.stopping.set()
        self.shutdown()
        self.server_close()
        self._thread.join()
