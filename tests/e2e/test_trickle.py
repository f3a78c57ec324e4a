#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcc samples, sends, and what pcd stores is what the kernel said."""

import json
import os
import sys

from certs import Authority
from e2e import Pcc, Pcd, folder, run, wait_for


def sample_and_compare(pcd, **options):
    """Runs pcc for some ticks; what pcd stored must equal, byte for byte, what pcc
    appended to its collection beside it."""
    collection = os.path.join(folder(), "tap.jsonl")
    options = {"FREQUENCY": "50ms", "DURATION": "1s", "BATCH_SIZE": "20", **options}
    pcc = Pcc(pcd, COLLECTION=collection, **options)
    assert pcc.wait() == 0, pcc.log
    with open(collection, "rb") as f:
        taken = f.read()
    assert taken.count(b"\n") >= 20, pcc.log
    stored = pcd.wait_stored("test-host", taken.count(b"\n"))
    assert stored == taken
    return taken


def test_delta_and_gzip_by_default():
    pcd = Pcd()
    taken = sample_and_compare(pcd)
    for text in taken.splitlines():
        json.loads(text)
    assert pcd.stop() == 0, pcd.log


def test_each_encoding_with_and_without_gzip():
    for serialization in ("json", "msgpack", "delta"):
        for compression in ("none", "gzip"):
            pcd = Pcd()
            sample_and_compare(pcd, SERIALIZATION=serialization, COMPRESSION=compression)
            assert pcd.stop() == 0, pcd.log


def test_many_batches_go_over_one_connection():
    pcd = Pcd()
    sample_and_compare(pcd, BATCH_SIZE="5")
    metrics = pcd.metrics()
    assert metrics['pcd_requests_total{route="trickle",code="200"}'] >= 10, metrics
    # Ours for /metrics is the second.
    assert metrics["pcd_connections_accepted_total"] == 2, metrics
    assert pcd.stop() == 0


def test_tls_with_a_ca_of_our_own():
    authority = Authority()
    certificate, key = authority.issue("server")
    pcd = Pcd(TLS_CERT=certificate, TLS_KEY=key)
    pcd.url = pcd.url.replace("http:", "https:")
    sample_and_compare(pcd, TLS_CA=authority.ca)

    # Without the CA nothing is sent, and pcc says how much was lost.
    pcc = Pcc(pcd, FREQUENCY="50ms", DURATION="300ms", IDENTIFIER="stranger")
    assert pcc.wait() == 1, pcc.log
    assert not os.path.exists(os.path.join(pcd.data, "stranger"))

    # Who says so gets through unchecked, with a warning.
    pcc = Pcc(pcd, FREQUENCY="50ms", DURATION="300ms", IDENTIFIER="careless",
              TLS_SKIP_VERIFY="true")
    assert pcc.wait() == 0, pcc.log
    assert "WARNING" in pcc.log
    assert wait_for("lines", lambda: pcd.stored("careless"))
    assert pcd.stop() == 0, pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
