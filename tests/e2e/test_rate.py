#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who asks too often is told to wait, and nobody else is."""

import http.client
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from e2e import KEY, PATIENCE, Pcc, Pcd, folder, lines, measurements, run, wait_for

OTHER = "another-key-0123456789"


def batch(identifier, number):
    return {"identifier": identifier, "measurements": measurements(1, text=str(number))}


def start(**options):
    home = folder()
    path = os.path.join(home, "apikeys")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(f"{KEY}\n{OTHER} other\n")
    return Pcd(home=home, **options)


def from_address(pcd, address):
    return http.client.HTTPConnection(pcd.host, pcd.port, timeout=60,
                                      source_address=(address, 0))


def refused(answer, why):
    """Checks that it is a 429; returns its Retry-After."""
    status, headers, body = answer
    assert status == 429, (status, body)
    assert why in json.loads(body)["error"], body
    assert 1 <= int(headers["Retry-After"]) <= 10, headers.items()
    return int(headers["Retry-After"])


def test_a_key_that_brings_too_many_batches_waits_and_others_do_not():
    pcd = start(RATE="1")
    connection = pcd.connect()
    stored, waits = [], []
    for number in range(100):  # in far less than the 90 s that would pay for them
        answer = pcd.post(batch("host", number), connection=connection)
        if answer[0] == 200:
            stored.append(batch("host", number))
        else:
            waits.append(refused(answer, "too many batches with this key"))
    assert 10 <= len(stored) < 100 and len(set(waits)) > 2, (len(stored), waits)
    other = batch("other", 1)
    assert pcd.post(other, {"apikey": OTHER}, connection)[0] == 200
    # A new connection or a replaced file of keys is no way out; a ping is no batch.
    assert pcd.post(batch("host", 100))[0] == 429
    assert pcd.request("POST", "/v1/ping", b'{"timestamp":1}')[0] == 200
    os.utime(os.path.join(pcd.home, "apikeys"))
    wait_for("the keys to be read", lambda: pcd.log.count("keys_loaded") == 2)
    for number in range(100, 130):
        answer = pcd.post(batch("host", number))
        if answer[0] == 200:
            stored.append(batch("host", number))
    metrics = pcd.metrics()
    assert metrics["pcd_over_key_rate_total"] == 131 - len(stored), metrics
    assert metrics["pcd_over_address_rate_total"] == 0
    assert metrics['pcd_requests_total{route="trickle",code="429"}'] == 131 - len(stored)
    assert pcd.log.count("event=over_rate of=key client=127.0.0.1") == 1, pcd.log
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == b"".join(lines(b) for b in stored)
    assert pcd.stored("other") == lines(other)


def post_until(pcd, host, over):
    """Posts batches of one measurement as fast as they are answered, until over(status) of
    an answer. Return: those that were stored, and those that were refused."""
    connection = pcd.connect()
    stored, waiting = [], []
    status, number = 0, 0
    while not over(status):
        one = batch(host, number)
        answer = pcd.post(one, connection=connection)
        status = answer[0]
        if status != 200:
            refused(answer, "too many batches with this key")
        (stored if status == 200 else waiting).append(one)
        number += 1
    connection.close()
    return stored, waiting


def test_a_key_stores_what_its_rate_pays_for_and_no_more():
    rate = 5
    pcd = start(RATE=str(rate))
    began = time.monotonic()
    dry = []  # when the bucket was seen to be empty

    def over(status):
        """Three seconds after that all have sent enough, or the machine is too slow."""
        now = time.monotonic()
        if status == 429:
            dry.append(now)
        return now - dry[0] > 3 if dry else now - began > 60 * PATIENCE

    # The key counts, however many connections and hosts it is used for.
    hosts = [f"host-{n}" for n in range(4)]
    with ThreadPoolExecutor(len(hosts)) as threads:
        sent = list(threads.map(lambda host: post_until(pcd, host, over), hosts))
    took = time.monotonic() - began
    assert pcd.stop() == 0, pcd.log
    n_stored = sum(pcd.stored(host).count(b"\n") for host in hosts)
    n_refused = sum(len(waiting) for _, waiting in sent)
    # The bucket was full, and every second pays for `rate`; one for how coarse clocks are.
    assert n_refused > 0 and n_stored <= (10 + took) * rate + 1, (n_stored, n_refused, took)
    assert n_stored > 10 * rate, "nothing flowed into the bucket"
    # What was told to wait is nowhere; what was not is there, once.
    for host, (stored, _) in zip(hosts, sent):
        assert pcd.stored(host) == b"".join(lines(b) for b in stored), host


def test_an_address_that_asks_too_often_waits_and_others_do_not():
    pcd = start(RATE_ADDRESS="1")
    one, two = from_address(pcd, "127.0.0.1"), from_address(pcd, "127.0.0.2")
    statuses = []
    # Whatever is asked for, with whatever key.
    for number in range(60):
        method, path, headers = (
            ("POST", "/v1/ping", {}), ("POST", "/v1/trickle", {"apikey": "wrong"}),
            ("GET", "/nowhere", {}), ("GET", "/metrics", {}),
            ("POST", "/v1/trickle", {}))[number % 5]
        data = json.dumps(batch("host", number)).encode() if method == "POST" else None
        statuses.append(pcd.request(method, path, data, headers, one)[0])
    assert {429} < set(statuses) and statuses.count(429) > 20, statuses
    answer = pcd.post(batch("host", 0), connection=one)
    refused(answer, "too many requests from this address")
    assert pcd.post(batch("two", 0), connection=two)[0] == 200
    for path in ("/healthz", "/readyz"):
        assert pcd.request("GET", path, connection=one)[0] == 200
    _, _, page = pcd.request("GET", "/metrics", connection=two)
    assert b"pcd_over_address_rate_total %d\n" % (statuses.count(429) + 1) in page
    assert b"pcd_over_key_rate_total 0\n" in page
    assert pcd.log.count("event=over_rate of=address client=127.0.0.1") == 1, pcd.log
    assert pcd.stop() == 0, pcd.log


def test_an_agent_that_is_told_to_wait_loses_nothing():
    pcd = start(RATE="1")
    collection = os.path.join(folder(), "taken.jsonl")
    pcc = Pcc(pcd, FREQUENCY="20ms", SUBSYSTEMS="/proc/uptime", BATCH_SIZE="3",
              COLLECTION=collection)
    pcc.wait_line("event=delivery_failed status=429 reason=.*too many batches", 30)
    assert pcd.stop() == 0, pcd.log
    pcd = Pcd(home=pcd.home, port=pcd.port)
    pcc.wait_line("event=delivery_resumed", 60)
    assert pcc.stop() == 0, pcc.log
    assert pcd.stop() == 0, pcd.log
    with open(collection, "rb") as f:
        taken = sorted(f.readlines())
    assert sorted(pcd.stored("test-host").splitlines(keepends=True)) == taken


if __name__ == "__main__":
    run(sys.modules[__name__])
