#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The example decoder of deltas on the vectors and on the example of proto/README.md, and
the vectors themselves: they are as make.py makes them."""

import gzip
import os
import re
import subprocess
import sys

from e2e import run
from proto_vectors import PROTO, datagram, decode_delta, vectors


def decoded(vector):
    """What the last body of a vector holds; the ones before it are decoded too."""
    state = decode_delta.State()
    for body in vector["before"]:
        decode_delta.decode(bytes.fromhex(body), state)
    body = bytes.fromhex(vector["body"])
    if vector.get("content_encoding") == "gzip":
        body = gzip.decompress(body)
    return decode_delta.decode(body, state)


def test_the_vectors_are_as_make_py_makes_them():
    made = subprocess.run([sys.executable, os.path.join(PROTO, "vectors", "make.py"), "--check"],
                          capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr


def test_there_are_vectors_in_every_form():
    kinds = [v["content_type"] for v in vectors()]
    assert len(kinds) >= 40, len(kinds)
    for kind in ("application/json", "application/msgpack",
                 "application/vnd.perfcollector.delta+msgpack"):
        assert kinds.count(kind) >= 5, kind


def test_the_example_decoder_reads_the_good_ones():
    n = 0
    for vector in vectors():
        expect = vector["expect"]
        if not vector["name"].startswith("delta-") or expect["status"] != 200:
            continue
        identifier, ticks = decoded(vector)
        rows = [[t // 10**9, t % 10**9, name, text.hex()] for t, rows in ticks
                for name, text in rows]
        starts = [sum(len(rows) for _, rows in ticks[:i]) for i in range(len(ticks))]
        assert (identifier, rows, starts) == (expect["identifier"], expect["measurements"],
                                              expect["ticks"]), vector["name"]
        n += 1
    assert n > 30, n


def test_the_example_decoder_refuses_the_bad_ones():
    refusals = {400: ValueError, 409: decode_delta.Conflict, 415: decode_delta.Unsupported}
    taken = []
    for vector in vectors():
        status = vector["expect"]["status"]
        if not vector["name"].startswith("delta-") or status in (200, 413):
            continue
        try:
            decoded(vector)
            taken.append(vector["name"])
        except tuple(refusals.values()) as refusal:
            assert isinstance(refusal, refusals[status]), (vector["name"], refusal)
    # It does not count what a state holds.
    assert taken == ["delta-bad-columns", "delta-bad-state"], taken


def test_the_example_of_the_readme_says_what_it_is_said_to():
    with open(os.path.join(PROTO, "README.md"), encoding="utf-8") as f:
        text = f.read()
    text = text[text.index("### An example"):text.index("### What was tried")]
    state, found = decode_delta.State(), []
    for block in re.findall(r"((?:^    [0-9a-f]{2}.*\n)+)", text, re.M):
        digits = re.findall(r"^    ((?:[0-9a-f]{2} {0,3})+)(?:  |$)", block, re.M)
        found += decode_delta.decode(bytes.fromhex("".join(digits)), state)[1]
    assert [text for _, rows in found for _, text in rows] == [
        b"cpu  9 1\n", b"cpu 10 1\n", b"cpu 12 3\n"], found
    assert [t // 10**9 for t, _ in found] == [1767813011, 1767813012, 1767813013], found


def test_the_example_opens_the_datagram_of_the_readme():
    with open(os.path.join(PROTO, "README.md"), encoding="utf-8") as f:
        text = f.read()
    text = text[text.index("### An example of one"):text.index("## Once and only once")]
    digits = re.findall(r"^    ((?:[0-9a-f]{2} ?)+)(?: |$)", text, re.M)
    data = bytes.fromhex("".join(digits))
    key, content = b"a key of the examples", "00112233445566778899aabbccddeeff" * 2 + "00"
    assert datagram.unseal(key, data) == bytes.fromhex(content)
    assert datagram.parse(data)[3:6] == (300, 3, b"web-01")
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= 1
        try:
            datagram.unseal(key, bytes(changed))
            assert False, at
        except datagram.Refused:
            pass


if __name__ == "__main__":
    run(sys.modules[__name__])
