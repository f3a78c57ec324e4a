#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Delta batches are stored as what they say, once, on the state that they build on or not
at all."""

import concurrent.futures
import gzip
import json
import sys
import zlib

import msgpack
from delta_writer import TYPE, Writer
from e2e import Pcd, keyed, line, run

T = 1767813011
SESSION = 0x0123456789abcdef
SHAPES = {"/proc/stat": b"cpu  \0 \0 \0\nbtime \0\n", "/proc/meminfo": b"MemFree: \0 kB\n"}
SNAPSHOT_REQUIRED = "snapshot required"


def ticks(first, n=5):
    """Ticks of SHAPES, of which no two are alike."""
    return [(T + at, [at * 100, at * at, 0, 17], [2**40 - at * 3])
            for at in range(first, first + n)]


def lines(measurements):
    return b"".join(line(m) for m in measurements)


def send(pcd, body, seq=None, session=SESSION, **headers):
    """Posts a delta; returns (status, headers, error), the answer being MessagePack."""
    fields = {"Content-Type": TYPE, **(keyed(session, seq) if seq else {}), **headers}
    status, headers, answer = pcd.request("POST", "/v1/trickle", body, fields)
    assert headers["Content-Type"] == "application/msgpack", headers.items()
    assert TYPE in headers["Accept-Post"], headers.items()
    return status, headers, msgpack.unpackb(answer)["e"]


def stored(pcd, body, *args, **headers):
    status, headers, error = send(pcd, body, *args, **headers)
    assert (status, error) == (200, None), (status, error)
    assert "Idempotent-Replayed" not in headers, headers.items()
    return int(headers["Measurements-Stored"])


def replayed(pcd, body, seq):
    status, headers, error = send(pcd, body, seq)
    assert (status, error) == (200, None), (status, error)
    assert headers["Idempotent-Replayed"] == "true", headers.items()


def conflicts(pcd, body, *args):
    status, headers, error = send(pcd, body, *args)
    assert (status, error) == (409, SNAPSHOT_REQUIRED), (status, error)
    assert "Measurements-Stored" not in headers, headers.items()


def refused(pcd, body, *args):
    status, _, error = send(pcd, body, *args)
    assert status == 400, (status, error)
    return error


def ends_with(pcd, expected, identifier="host"):
    """pcd stops by itself and has stored exactly these measurements."""
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored(identifier) == lines(expected), pcd.stored(identifier)


def test_a_chain_is_stored_as_what_it_says():
    for sync in ("always", "interval"):
        pcd = Pcd(SYNC=sync)
        writer, expected = Writer("host", SHAPES), []
        for seq in range(1, 13):
            batch = ticks(seq * 5)
            body = writer.snapshot(batch) if seq in (1, 7) else writer.next(batch)
            coding, compress = (("identity", bytes), ("gzip", gzip.compress),
                                ("deflate", zlib.compress))[seq % 3]
            n = stored(pcd, compress(body), seq, **{"Content-Encoding": coding})
            assert n == 10, n
            expected += writer.measurements(batch)
        metrics = pcd.metrics()
        assert metrics["pcd_delta_states"] == 1
        assert 0 < metrics["pcd_delta_state_bytes"] < metrics["pcd_delta_state_bytes_max"]
        assert metrics["pcd_measurements_total"] == 120
        assert metrics["pcd_delta_conflicts_total"] == 0
        ends_with(pcd, expected)


def test_the_answer_is_json_where_accept_names_it():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    fields = {"Content-Type": TYPE, **keyed(SESSION, 1), "Accept": "application/json"}
    status, headers, body = pcd.request("POST", "/v1/trickle", writer.next(ticks(0)), fields)
    assert status == 409 and headers["Content-Type"] == "application/json", headers.items()
    assert json.loads(body) == {"error": SNAPSHOT_REQUIRED}, body
    fields["Accept"] = TYPE  # which no answer has
    assert send(pcd, writer.next(ticks(0)), 1, Accept=TYPE)[0] == 409
    ends_with(pcd, [])


def test_a_batch_that_stands_alone_needs_no_key_and_leaves_the_chain_as_it_is():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    batches = [ticks(at, 3) for at in range(0, 15, 3)]
    stored(pcd, writer.alone(batches[0]))
    assert pcd.metrics()["pcd_delta_states"] == 0
    stored(pcd, writer.snapshot(batches[1]), 1)
    stored(pcd, writer.alone(batches[2]), 2)
    stored(pcd, writer.next(batches[3]), 3)
    stored(pcd, writer.alone(batches[4]))
    ends_with(pcd, writer.measurements(sum(batches, [])))


def test_409_where_there_is_no_state_that_the_batch_fits():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    first, second, third = (ticks(at) for at in (0, 5, 10))
    conflicts(pcd, writer.next(first), 1)
    stored(pcd, writer.snapshot(first), 1)
    after = writer.next(second)

    conflicts(pcd, after, 2, SESSION + 1)  # another session
    conflicts(pcd, msgpack.packb({**msgpack.unpackb(after), "i": "guest"}), 2)
    for wrong in ({"q": 2}, {"q": 3}, {"ss": 2}, {"ss": 0}):
        conflicts(pcd, msgpack.packb({**msgpack.unpackb(after), **wrong}), 2)
    stored(pcd, after, 2)  # the state is as it was
    conflicts(pcd, after, 3)
    # The same batch as a snapshot, under the key that got the 409.
    stored(pcd, writer.snapshot(third), 3)
    assert pcd.metrics()["pcd_delta_conflicts_total"] == 8
    assert pcd.metrics()['pcd_requests_total{route="trickle",code="409"}'] == 8
    ends_with(pcd, writer.measurements(first + second + third))


def test_409_after_a_restart():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    batches = [ticks(at) for at in (0, 5, 10)]
    stored(pcd, writer.snapshot(batches[0]), 1)
    pcd.kill()
    pcd = Pcd(home=pcd.home)
    conflicts(pcd, writer.next(batches[1]), 2)
    stored(pcd, writer.snapshot(batches[1]), 2)
    stored(pcd, writer.next(batches[2]), 3)
    ends_with(pcd, writer.measurements(sum(batches, [])))


def test_a_replay_changes_no_state():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    batches = [ticks(at) for at in (0, 5, 10)]
    first = writer.snapshot(batches[0])
    second = writer.next(batches[1])
    stored(pcd, first, 1)
    stored(pcd, second, 2)
    replayed(pcd, first, 1)
    replayed(pcd, second, 2)
    # Not even one with another snapshot.
    replayed(pcd, Writer("host", SHAPES).snapshot(ticks(50)), 2)
    stored(pcd, writer.next(batches[2]), 3)
    assert pcd.metrics()["pcd_replays_total"] == 3
    ends_with(pcd, writer.measurements(sum(batches, [])))


def test_a_replay_is_found_before_what_is_wrong_with_its_measurements():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    body = writer.snapshot(ticks(0))
    stored(pcd, body, 1)
    replayed(pcd, msgpack.packb({**msgpack.unpackb(body), "cb": b""}), 1)
    chained = {k: v for k, v in msgpack.unpackb(body).items() if k != "h"}
    replayed(pcd, msgpack.packb({**chained, "q": 5}), 1)
    ends_with(pcd, writer.measurements(ticks(0)))


def test_a_bad_batch_gets_400_and_the_chain_begins_anew():
    pcd = Pcd()
    expected = []
    for seq, wrong in enumerate(({"ch": b""}, {"ch": b"\x01" * 100}, {"cb": b"\xff" * 9},
                                 {"to": b"\x80"}, {"m": [[0, 1], 1]}, {"m": []}), 1):
        writer = Writer("host", SHAPES)
        batches = [ticks(at + 100 * seq) for at in (0, 5, 10)]
        stored(pcd, writer.snapshot(batches[0]), seq * 10)
        second = writer.next(batches[1])
        error = refused(pcd, msgpack.packb({**msgpack.unpackb(second), **wrong}), seq * 10 + 1)
        assert error, wrong
        # The state is gone, or as it was: never in between.
        status, _, error = send(pcd, second, seq * 10 + 1)
        assert (status, error) in ((409, SNAPSHOT_REQUIRED), (200, None)), (status, error)
        if status == 409:
            conflicts(pcd, writer.next(batches[2]), seq * 10 + 2)
            stored(pcd, writer.snapshot(batches[1]), seq * 10 + 1)
        stored(pcd, writer.next(batches[2]), seq * 10 + 3)
        expected += writer.measurements(sum(batches, []))
    ends_with(pcd, expected)


def test_every_prefix_of_a_message_gets_400_and_is_not_stored():
    pcd = Pcd()
    body = Writer("host", SHAPES).snapshot(ticks(0))
    connection = pcd.connect()
    for n in range(len(body)):
        status, _, answer = pcd.request("POST", "/v1/trickle", body[:n],
                                        {"Content-Type": TYPE, **keyed(SESSION, 1)}, connection)
        assert status == 400 and msgpack.unpackb(answer)["e"], (n, status, answer)
    connection.close()
    assert pcd.metrics()["pcd_delta_states"] == 0
    stored(pcd, body, 1)
    ends_with(pcd, Writer("host", SHAPES).measurements(ticks(0)))


def test_400_for_a_chain_without_a_key():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    for body in (writer.snapshot(ticks(0)), writer.next(ticks(5))):
        assert "Idempotency-Key" in refused(pcd, body)
    ends_with(pcd, [])


def test_a_host_whose_state_is_not_kept_pays_with_409():
    pcd = Pcd(DELTA_STATE_MAX="64KiB")
    shapes = {"/proc/stat": b"x" * 70000 + b" \0\n"}
    writer = Writer("large", shapes)
    batches = [[(T + at, [at])] for at in range(6)]
    for seq, batch in enumerate(batches, 1):
        conflicts(pcd, writer.next(batch), seq)
        stored(pcd, gzip.compress(writer.snapshot(batch)), seq, **{"Content-Encoding": "gzip"})
    metrics = pcd.metrics()
    assert metrics["pcd_delta_states_not_kept_total"] == 6
    assert metrics["pcd_delta_conflicts_total"] == 6
    assert metrics["pcd_delta_states"] == metrics["pcd_delta_state_bytes"] == 0
    assert metrics["pcd_delta_state_bytes_max"] == 65536
    assert pcd.log.count("event=delta_states_full") == 1, pcd.log
    ends_with(pcd, writer.measurements(sum(batches, [])), "large")


def test_many_identifiers_stay_within_the_bound():
    pcd = Pcd(DELTA_STATE_MAX="64KiB")
    connection = pcd.connect()
    for at in range(300):
        body = Writer(f"host-{at}", {"/proc/stat": b"\0\n"}).snapshot([(T, [at])])
        status, _, answer = pcd.request("POST", "/v1/trickle", body,
                                        {"Content-Type": TYPE, **keyed(SESSION, 1)}, connection)
        assert status == 200, answer
    connection.close()
    metrics = pcd.metrics()
    assert 0 < metrics["pcd_delta_states"] < 300
    assert metrics["pcd_delta_state_bytes"] <= 65536
    assert metrics["pcd_delta_states"] + metrics["pcd_delta_states_not_kept_total"] == 300
    assert pcd.stop() == 0, pcd.log


def test_of_two_requests_that_race_for_a_chain_one_is_stored():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    expected = ticks(0)
    stored(pcd, writer.snapshot(expected), 1)
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        for seq in range(2, 42, 2):
            batch = ticks(seq * 5)
            body = writer.next(batch)
            answers = sorted(threads.map(lambda key: send(pcd, body, key)[0], (seq, seq + 1)))
            assert answers == [200, 409], answers
            expected += batch
    assert pcd.metrics()["pcd_delta_conflicts_total"] == 20
    ends_with(pcd, writer.measurements(expected))


def test_the_same_batch_twice_at_once_is_stored_once():
    pcd = Pcd()
    writer = Writer("host", SHAPES)
    expected = []
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        for seq in range(1, 21):
            batch = ticks(seq * 5)
            body = writer.next(batch) if seq > 1 else writer.snapshot(batch)
            answers = list(threads.map(lambda _: send(pcd, body, seq), range(2)))
            assert [answer[0] for answer in answers] == [200, 200], answers
            assert sum("Idempotent-Replayed" in answer[1] for answer in answers) == 1
            expected += batch
    ends_with(pcd, writer.measurements(expected))


if __name__ == "__main__":
    run(sys.modules[__name__])
