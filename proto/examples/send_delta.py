#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A client: samples /proc and sends it to a server as delta batches, over one connection.
An example beside ../README.md: it needs neither predictors nor fragments, and any language
will do.

    send_delta.py --server http://localhost:8080 --apikey-file FILE [--identifier NAME]
                  [--interval SECONDS] [--ticks N] [--batch TICKS] [--collection FILE]

What it sends it also appends to the collection, if one is given.
"""

import argparse
import gzip
import http.client
import json
import re
import secrets
import socket
import sys
import time
import urllib.parse

import msgpack

SOURCES = ("/proc/stat", "/proc/meminfo", "/proc/net/dev", "/proc/diskstats")  # numbers 0 to 3
NUMBER = re.compile(rb"(?<![0-9.])(0|[1-9][0-9]*)(?![0-9])")
MASK = 2**64 - 1


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out) + bytes([n])


def zigzag(n):
    """A difference modulo 2^64, as the number that a zig-zag varint holds."""
    n = (n + 2**63 & MASK) - 2**63
    return n << 1 ^ n >> 63


def bitmap(flags):
    return sum(1 << i for i, flag in enumerate(flags) if flag).to_bytes((len(flags) + 7) // 8,
                                                                        "little")


def cut(text):
    """A text as its shape, in which every number is a plain column, and its numbers. Where
    one has a zero in front, follows a point, or is too large, it stays literal."""
    code, numbers, at = b"", [], 0
    for found in NUMBER.finditer(text):
        if int(found.group()) <= MASK:
            code += literal(text[at:found.start()]) + b"\0"
            numbers.append(int(found.group()))
            at = found.end()
    return code + literal(text[at:]), numbers


def literal(text):
    return b"".join(b"\3" + bytes([byte]) if byte < 8 else bytes([byte]) for byte in text)


class Chain:
    """The encoder: what the server's state is, if all goes well."""

    def __init__(self, identifier):
        self.identifier, self.snapshot, self.number = identifier, 0, None
        self.time, self.shapes = 0, {}

    def forget(self):
        """The next batch is a snapshot."""
        self.number = None

    def encode(self, first_tick, ticks):
        """ticks: (seconds, {source: text}). Blanks are part of a shape here, so a column that
        outgrows them is a new shape; that costs bytes, not truth."""
        message = {"v": 1, "i": self.identifier, "k": first_tick, "m": []}
        if self.number is None:
            self.snapshot, self.number, self.time, self.shapes = self.snapshot + 1, 0, ticks[0][0], {}
            message["h"] = {"bt": self.time}
        else:
            self.number += 1
        message.update(ss=self.snapshot, q=self.number, to=self.times([tick for tick, _ in ticks]))
        streams = {"sh": b"", "bv": b"", "cb": b"", "ch": b""}
        for source in SOURCES:
            self.groups(source, ticks, message["m"], streams)
        # Groups of one source follow each other, so that each tick has them in their order.
        return msgpack.packb({**message, **streams})

    def times(self, times):
        out, before, step = b"", self.time, 0
        for i, now in enumerate(times):
            out += varint(zigzag(now - before - (step if i > 1 else 0)))
            before, step = now, now - before
        self.time = before
        return out

    def groups(self, source, ticks, groups, streams):
        """Splits a source's texts where the shape changes, into a group for each part."""
        parts = []  # (is the shape new, the ticks, the rows of numbers)
        for i, (_, texts) in enumerate(ticks):
            if source not in texts:
                continue
            code, numbers = cut(texts[source])
            held = self.shapes.get(source, (None, None))[0] if not parts else parts[-1][3]
            if not parts or code != held:
                parts.append((code != held, [], [], code))
            parts[-1][1].append(i)
            parts[-1][2].append(numbers)
        for is_new, at, rows, code in parts:
            groups.append([SOURCES.index(source), int(is_new),
                           bitmap([i in at for i in range(len(ticks))])])
            before = self.shapes.get(source, (None, ()))[1]
            if is_new:
                if len(before) != len(rows[0]):
                    before = [0] * len(rows[0])
                streams["sh"] += varint(len(code)) + code
                streams["bv"] += b"".join(varint(zigzag(n - b)) for n, b in zip(rows[0], before))
                before, rows = rows[0], rows[1:]
            self.changes(before, rows, streams)
            self.shapes[source] = code, rows[-1] if rows else before

    def changes(self, before, rows, streams):
        columns = []
        for column, value in enumerate(before):
            steps = [b - a for a, b in zip([value] + [r[column] for r in rows], [r[column] for r in rows])]
            columns.append(steps)
        if not rows:
            return
        streams["cb"] += bitmap([any(steps) for steps in columns])
        for steps in filter(any, columns):
            streams["cb"] += bitmap(steps)
            streams["ch"] += b"".join(varint(zigzag(step) - 1) for step in steps if step)


class Sender:
    """One connection, and what its answers mean (../README.md, "Status codes")."""

    def __init__(self, url, key, chain):
        self.host, self.key, self.chain = urllib.parse.urlsplit(url).netloc, key, chain
        self.session, self.seq, self.connection = secrets.token_hex(8), 0, None

    def post(self, body):
        """Return: status, headers and error; status 0 where there was no answer."""
        try:
            self.connection = self.connection or http.client.HTTPConnection(self.host, timeout=30)
            self.connection.request("POST", "/v1/trickle", gzip.compress(body, 6), {
                "Content-Type": "application/vnd.perfcollector.delta+msgpack",
                "Content-Encoding": "gzip", "apikey": self.key,
                "Idempotency-Key": f"{self.session}-{self.seq}", "Idempotency-Floor": str(self.seq)})
            answer = self.connection.getresponse()
            return answer.status, answer.headers, msgpack.unpackb(answer.read())["e"]
        except (OSError, ValueError, http.client.HTTPException) as why:
            self.connection = None
            return 0, {}, str(why)

    def send(self, first_tick, ticks):
        """Sends a batch until it is stored; after anything else it is a snapshot."""
        self.seq, wait = self.seq + 1, 0.2
        while True:
            status, headers, error = self.post(self.chain.encode(first_tick, ticks))
            if status == 200 and error is None:
                if headers.get("Idempotent-Replayed") == "true":
                    self.chain.forget()
                return
            self.chain.forget()
            if status in (400, 401, 403, 413, 415):
                sys.exit(f"the server refuses: {status} {error}")
            if status != 409:
                time.sleep(wait)
                wait = min(2 * wait, 30)


def read(source):
    with open(source, "rb") as file:
        return file.read()


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--server", default="http://localhost:8080")
    options.add_argument("--apikey-file", required=True)
    options.add_argument("--identifier", default=socket.gethostname())
    options.add_argument("--interval", type=float, default=1)
    options.add_argument("--ticks", type=int, default=0, help="0: for ever")
    options.add_argument("--batch", type=int, default=20, help="ticks of a batch")
    options.add_argument("--collection")
    o = options.parse_args()
    sender = Sender(o.server, read(o.apikey_file).split()[0].decode(), Chain(o.identifier))
    taken, ticks = 0, []
    while not o.ticks or taken < o.ticks:
        ticks.append((int(time.time()), {source: read(source) for source in SOURCES}))
        taken += 1
        if len(ticks) == o.batch or taken == o.ticks:
            sender.send(taken - len(ticks), ticks)
            if o.collection:
                with open(o.collection, "a", encoding="utf-8") as file:
                    for second, texts in ticks:
                        for source, text in texts.items():
                            json.dump({"timestamp": second, "subsystem": source, "measurement":
                                       text.decode()}, file, ensure_ascii=False, separators=(",", ":"))
                            file.write("\n")
            ticks = []
        time.sleep(o.interval)


if __name__ == "__main__":
    main()
