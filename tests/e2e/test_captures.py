#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Recorded measurements of real machines come out of pcd exactly as they went in."""

import gzip
import json
import os
import sys

import msgpack
from e2e import Pcd, Skip, captures, run

BATCH_SIZE = 100


def as_json(identifier, batch):
    return json.dumps({"identifier": identifier, "measurements": batch}).encode()


def as_msgpack(identifier, batch):
    """As the Go encoder of the old system writes it: members by their Go names."""
    return msgpack.packb({"i": identifier, "m": [
        {"Timestamp": m["timestamp"], "Subsystem": m["subsystem"],
         "Measurement": m["measurement"]} for m in batch]})


FORMS = (
    ("json", "application/json", as_json),
    ("msgpack", "application/msgpack", as_msgpack),
)
CODINGS = (
    ("plain", {}, bytes),
    ("gzip", {"Content-Encoding": "gzip"}, lambda body: gzip.compress(body, 1)),
)


def batches(measurements):
    """Cuts at the end of the tick that reaches BATCH_SIZE, as pcc does."""
    batch = []
    for m in measurements:
        if len(batch) >= BATCH_SIZE and m["timestamp"] != batch[-1]["timestamp"]:
            yield batch
            batch = []
        batch.append(m)
    yield batch


def post_all(pcd, identifier, measurements, form, coding):
    _, media_type, encode = form
    _, headers, compress = coding
    connection = pcd.connect()
    for batch in batches(measurements):
        status, got, answer = pcd.request(
            "POST", "/v1/trickle", compress(encode(identifier, batch)),
            {"Content-Type": media_type, **headers}, connection)
        assert status == 200, (status, answer)
        assert got["Measurements-Stored"] == str(len(batch))
    connection.close()


def collections():
    folder = captures()
    names = sorted(n for n in os.listdir(folder) if n.endswith(".jsonl"))
    if not names:
        raise Skip(f"no collections in {folder}")
    for name in names:
        with open(os.path.join(folder, name), "rb") as f:
            yield name.removesuffix(".jsonl"), f.read()


def test_every_capture_comes_back_byte_for_byte_in_every_encoding():
    expected = {}
    pcd = Pcd()
    for name, raw in collections():
        measurements = [json.loads(text) for text in raw.splitlines()]
        for form in FORMS:
            for coding in CODINGS:
                identifier = f"{name}.{form[0]}.{coding[0]}"
                post_all(pcd, identifier, measurements, form, coding)
                expected[identifier] = raw
    assert pcd.stop() == 0, pcd.log
    assert sorted(os.listdir(pcd.data)) == sorted(expected)
    for identifier, raw in expected.items():
        assert pcd.stored(identifier) == raw, f"{identifier} differs from its capture"


def test_a_capture_in_one_batch_comes_back_too():
    pcd = Pcd()
    expected = {}
    for name, raw in collections():
        measurements = [json.loads(text) for text in raw.splitlines()]
        status, _, answer = pcd.post({"identifier": name, "measurements": measurements})
        assert status == 200, (status, answer)
        expected[name] = raw
    assert pcd.stop() == 0, pcd.log
    for name, raw in expected.items():
        # One batch goes to one file, that of its first measurement's day.
        assert len(os.listdir(os.path.join(pcd.data, name))) == 1
        assert pcd.stored(name) == raw, f"{name} differs from its capture"


if __name__ == "__main__":
    run(sys.modules[__name__])
