# SPDX-License-Identifier: MIT
"""Clients that send batches like no others and remember what became of them, and a look at
the store that finds each of them again."""

import http.client
import json
import os
import random
import threading
import time

from e2e import KEY, keyed, lines


class Client(threading.Thread):
    """Posts one batch after the other, each once, and remembers what became of it. pause:
    seconds between them."""

    def __init__(self, number, port, seed, counts=(1, 2, 3, 20, 100), sizes=(0, 100, 2000),
                 pause=0):
        super().__init__(daemon=True)
        self.counts, self.sizes, self.pause = counts, sizes, pause
        self.port = port
        self.random = random.Random(seed)
        self.identifier = f"host-{number}"
        self.session = self.random.getrandbits(64)
        self.batches = []
        self.answered = {}  # numbers of batches that were answered with 200, and when
        self.ended = threading.Event()
        self.failure = None
        self.unanswered = None  # why a batch got no answer that counts, last
        self.connection = None

    def next_batch(self):
        """One like no other, that says which it is: a word to tell it by, text of any
        length, and some days."""
        seq = len(self.batches) + 1
        start = 1767813011 + 86400 * self.random.randrange(3)
        n = self.random.choice(self.counts)
        size = self.random.choice(self.sizes)
        batch = {"identifier": self.identifier, "measurements": [
            {"timestamp": start + i, "subsystem": "/proc/stat",
             "measurement": f"{seq} {i} {self.random.randbytes(size // 2).hex()}\n"}
            for i in range(n)]}
        self.batches.append(batch)
        return seq, batch

    def post(self, seq, port):
        """Return: the headers of a 200, or None if there was no answer."""
        if not self.connection:
            self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            self.connection.request(
                "POST", "/v1/trickle", json.dumps(self.batches[seq - 1]),
                {"apikey": KEY, "Content-Type": "application/json",
                 **keyed(self.session, seq)})
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as why:
            self.disconnect()
            self.unanswered = repr(why)
            return None
        if answer.status in (503, 507):
            self.unanswered = answer.status, body
            return None
        assert answer.status == 200, (answer.status, body)
        return answer.headers

    def disconnect(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def run(self):
        try:
            while not self.ended.is_set():
                seq, _ = self.next_batch()
                # Some are sent again at once when no answer came, some only in the end.
                for _ in range(self.random.choice((1, 1, 5))):
                    if self.post(seq, self.port) is not None:
                        self.answered[seq] = time.monotonic_ns()
                        break
                    self.ended.wait(0.01)
                self.ended.wait(self.pause)
        except Exception as why:  # told by the test
            self.failure = why


def found(pcd, client):
    """How often each batch of a client is in the store. Every byte there must be part of a
    whole batch."""
    expected = [lines(batch) for batch in client.batches]
    count = [0] * (len(expected) + 1)
    base = os.path.join(pcd.data, client.identifier)
    for name in os.listdir(base) if os.path.isdir(base) else ():
        with open(os.path.join(base, name), "rb") as f:
            text = f.read()
        at = 0
        while at < len(text):
            first = json.loads(text[at:text.index(b"\n", at)])
            seq = int(first["measurement"].split(" ", 1)[0])
            whole = expected[seq - 1]
            assert text[at:at + len(whole)] == whole, (name, at, seq)
            count[seq] += 1
            at += len(whole)
    return count
