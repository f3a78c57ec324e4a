# SPDX-License-Identifier: MIT
"""A server that answers as a test tells it to, wrongly where that is the point.

A Stub takes requests on loopback and keeps them. What it answers to each batch comes from
a list of answers, then from `default`. An answer is a function of the request that gives
the bytes to send, or an Answer, which can also cut, stall and hang up. Only a batch in delta
that builds on what the Stub doesn't have gets 409 without being asked for.
"""

import copy
import gzip
import json
import socket
import threading
import time

from e2e import wait_for

DELTA = "application/vnd.perfcollector.delta+msgpack"
ACCEPT = {"Accept-Post": "application/json, application/msgpack, " + DELTA,
          "Accept-Encoding": "gzip, deflate"}


def plain(measurements):
    """A collection's measurements as a Request gives them."""
    return [(m["timestamp"] + m.get("nanoseconds", 0) / 1e9, m["subsystem"], m["measurement"])
            for m in measurements]


def gaps(measurements):
    """The gaps that a Request's measurements tell of."""
    return [json.loads(text) for _, subsystem, text in measurements if subsystem == "pcc/gap"]


def unpack_msgpack(data):
    import msgpack  # only those who read MessagePack need it
    return msgpack.unpackb(data, strict_map_key=False)


def delta_decoder():
    from proto_vectors import decode_delta  # only those who are sent delta need it
    return decode_delta


class Request:
    """One request as it came: method, path, headers (names in lower case) and body."""

    def __init__(self, method, path, headers, body, connection):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.connection = connection  # the number of its connection, from 1
        self.time = time.monotonic()
        self.taken = False  # answered as stored
        self.decoded = []  # the measurements of a batch in delta, once it is decoded

    @property
    def form(self):
        """As (serialization, compression)."""
        kind = self.headers.get("content-type", "application/json")
        serialization = ("delta" if kind == DELTA else "msgpack" if "msgpack" in kind else
                         "json")
        return serialization, self.headers.get("content-encoding", "none")

    @property
    def plain_body(self):
        return gzip.decompress(self.body) if self.form[1] == "gzip" else self.body

    @property
    def document(self):
        body = self.plain_body
        return json.loads(body) if self.form[0] == "json" else unpack_msgpack(body)

    @property
    def chain(self):
        """A batch in delta: its snapshot and its number in the chain; None: it stands
        alone."""
        document = self.document
        return (document["ss"], document["q"]) if "ss" in document else None

    @property
    def measurements(self):
        """As (timestamp in seconds, subsystem, text)."""
        if self.form[0] == "delta":
            return self.decoded
        found = []
        for m in self.document.get("measurements") or self.document.get("m") or []:
            m = {name.lower(): value for name, value in m.items()}
            text = m["measurement"]
            found.append((m["timestamp"] + m.get("nanoseconds", 0) / 1e9, m["subsystem"],
                          text.decode("utf-8", "replace") if isinstance(text, bytes) else text))
        return found

    @property
    def n(self):
        return len(self.measurements)

    @property
    def key(self):
        """Session and number of Idempotency-Key."""
        session, _, number = self.headers["idempotency-key"].partition("-")
        return session, int(number)


class Answer:
    """What to answer: a status line, headers and a body, in the request's own form unless
    `body` is given. `stored` is what Measurements-Stored says: "right", None or a number.
    `cut`: only so many bytes are sent; then the connection stalls until the other side
    leaves, or is hung up with `hang_up`."""

    def __init__(self, status=200, error=None, headers=None, body=None, stored="right",
                 cut=None, hang_up=False, reason="Because"):
        self.status, self.error, self.headers, self.body = status, error, headers, body
        self.stored, self.cut, self.hang_up, self.reason = stored, cut, hang_up, reason

    def render(self, request):
        headers = dict(ACCEPT)
        body = self.body
        if body is None and request.form[0] == "json":
            body = json.dumps({"error": self.error}).encode()
            headers["Content-Type"] = "application/json"
        elif body is None:
            import msgpack
            body = msgpack.packb({"e": self.error})
            headers["Content-Type"] = "application/msgpack"
        if self.status == 200 and self.stored is not None:
            headers["Measurements-Stored"] = request.n if self.stored == "right" else self.stored
        headers.update(self.headers or {})
        lines = [f"HTTP/1.1 {self.status} {self.reason}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
        request.taken = (self.status == 200 and self.error is None and self.body is None
                         and self.stored in ("right", None) and self.cut is None)
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


OK = Answer()
CONFLICT = Answer(status=409, error="snapshot required")


def ping_answer(request):
    """What a pcd of today says."""
    origin = request.document.get("timestamp", 0)
    pong = {"origintimestamp": origin, "timestamp": int(time.time())}
    if request.form[0] == "json":
        return Answer(body=json.dumps(pong).encode(), stored=None).render(request)
    import msgpack
    return Answer(body=msgpack.packb(pong), stored=None).render(request)


def old_ping_answer(request):
    """What a server says that doesn't name what it takes."""
    pong = json.dumps({"origintimestamp": 0, "timestamp": int(time.time())}).encode()
    headers = {name: None for name in ACCEPT}
    return Answer(body=pong, stored=None, headers=headers).render(request)


class Stub:
    """knows_delta: without it a batch in delta is nothing that it could decode."""

    def __init__(self, answers=(), default=OK, ping=ping_answer, port=0, knows_delta=True):
        self.answers = list(answers)
        self.default = default
        self.ping = ping
        self.knows_delta = knows_delta
        self.requests = []  # for batches
        self.pings = []
        self.connections = 0
        self._states = {}  # of delta, by session
        self._sockets = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        """Goes away, with all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for s in self._sockets:
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def forget(self):
        """Has no state of any chain any more."""
        with self._lock:
            self._states = {}

    def wait_requests(self, n, seconds=15):
        wait_for(f"{n} batches", lambda: len(self.requests) >= n, seconds)
        return self.requests[:n]

    @property
    def stored(self):
        """Measurements of the batches that were answered as stored, each key once."""
        seen, found = set(), []
        for request in list(self.requests):
            if request.taken and request.key not in seen:
                seen.add(request.key)
                found += request.measurements
        return found

    def _accept(self):
        while True:
            try:
                s, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._sockets.add(s)
                number = self.connections
            threading.Thread(target=self._serve, args=(s, number), daemon=True).start()

    def _serve(self, s, number):
        try:
            with s, s.makefile("rb") as stream:
                while self._one(s, stream, number):
                    pass
        except OSError:
            pass  # it hung up, or we did
        finally:
            with self._lock:
                self._sockets.discard(s)

    def _read(self, s, stream, number):
        """The next request; None at the end of the connection."""
        head = stream.readline().decode().split()
        if len(head) < 3:
            return None
        headers = {}
        for text in iter(stream.readline, b"\r\n"):
            if not text:
                return None
            name, _, value = text.decode().partition(":")
            headers[name.strip().lower()] = value.strip()
        if headers.get("expect") == "100-continue":
            s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = int(headers.get("content-length", 0))
        body = stream.read(length)
        if len(body) < length:
            return None
        return Request(head[0], head[1], headers, body, number)

    def _decode(self, request):
        """Decodes a batch in delta. Return: does it build on what is here, and the state
        after it."""
        delta = delta_decoder()
        state = copy.deepcopy(self._states.get(request.key[0])) or delta.State()
        try:
            ticks = delta.decode(request.plain_body, state)[1]
        except delta.Conflict:
            return False, None
        request.decoded = [(time // 10**9 + time % 10**9 / 1e9, subsystem,
                            text.decode("utf-8", "replace"))
                           for time, rows in ticks for subsystem, text in rows]
        return True, state

    def _answer(self, request):
        """Return: what answers a batch, and the bytes to send."""
        fits, state = True, None
        with self._lock:
            if request.form[0] == "delta" and self.knows_delta:
                fits, state = self._decode(request)
            answer = CONFLICT
            if fits:
                answer = self.answers.pop(0) if self.answers else self.default
            data = answer.render(request) if isinstance(answer, Answer) else answer(request)
            is_replay = b"Idempotent-Replayed: true" in data
            if state and request.taken and request.chain and not is_replay:
                self._states[request.key[0]] = state
        return answer, data

    def _one(self, s, stream, number):
        """Takes and answers one request. Return: does the connection go on?"""
        request = self._read(s, stream, number)
        if not request:
            return False
        if request.path == "/v1/trickle":
            answer, data = self._answer(request)
            self.requests.append(request)
        else:
            answer, data = None, self.ping(request)
            self.pings.append(request)
        cut = getattr(answer, "cut", None)
        s.sendall(data if cut is None else data[:cut])
        if getattr(answer, "hang_up", False):
            return False
        if cut is not None:
            s.recv(1)  # until it gives up
            return False
        return True
