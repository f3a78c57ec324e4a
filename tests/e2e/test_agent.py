#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcc from start to end: signals, outages, a full queue; what it loses, it tells of."""

import json
import os
import re
import signal
import sys
import time

from e2e import Pcc, Pcd, folder, free_port, run, wait_for
from stub import Answer, Stub, gaps, plain

QUICK = {"FREQUENCY": "100ms", "SUBSYSTEMS": "/proc/uptime"}


def start(server, **options):
    collection = os.path.join(folder(), "taken.jsonl")
    return Pcc(server, **{**QUICK, "COLLECTION": collection, **options})


def without_gaps(measurements):
    return sorted(m for m in measurements if m[1] != "pcc/gap")


def root_with_big_file():
    """A stand-in for / with a file of 20,000 bytes."""
    root = folder()
    os.makedirs(os.path.join(root, "proc"))
    with open(os.path.join(root, "proc", "big"), "w") as f:
        f.write("x" * 20000)
    return root


def wait_ticks(pcc, n):
    """Waits until a pcc in local mode has taken so many ticks of one measurement."""
    wait_for(f"{n} ticks", lambda: len(pcc.taken()) >= n, 30)


def test_a_signal_flushes_and_ends_with_0():
    for number in (signal.SIGTERM, signal.SIGINT):
        stub = Stub()
        pcc = start(stub, BATCH_SIZE="1000", FLUSH_INTERVAL="1h")
        pcc.wait_line("event=started")
        time.sleep(1)  # some ticks; how many doesn't matter
        assert not stub.requests
        assert pcc.stop(number) == 0, pcc.log
        assert len(stub.requests) == 1
        assert stub.stored and sorted(stub.stored) == sorted(plain(pcc.taken()))


def test_a_signal_ends_local_mode_with_whole_lines():
    for number in (signal.SIGTERM, signal.SIGINT):
        pcc = Pcc(**QUICK)
        wait_ticks(pcc, 5)
        assert pcc.stop(number) == 0, pcc.log
        with open(pcc.options["COLLECTION"], "rb") as f:
            assert f.read().endswith(b"\n")


def test_a_second_signal_does_not_wait():
    stub = Stub(default=Answer(cut=0))
    pcc = start(stub, BATCH_SIZE="1000")
    pcc.wait_line("event=started")
    time.sleep(0.5)
    pcc.process.send_signal(signal.SIGTERM)
    stub.wait_requests(1)
    pcc.process.send_signal(signal.SIGTERM)
    assert pcc.wait() == 1, pcc.log


def test_the_duration_ends_it():
    stub = Stub()
    pcc = start(stub, DURATION="1s", BATCH_SIZE="3")
    assert pcc.wait() == 0, pcc.log
    assert stub.stored and sorted(stub.stored) == sorted(plain(pcc.taken()))
    assert len(stub.stored) <= 11


def test_local_mode_appends_to_what_is_there():
    path = os.path.join(folder(), "pcc.json")
    n = []
    for _ in range(2):
        pcc = Pcc(**QUICK, COLLECTION=path, DURATION="500ms")
        assert pcc.wait() == 0, pcc.log
        n.append(len(pcc.taken()))
    assert 0 < n[0] < n[1], n
    times = [when for when, _, _ in plain(pcc.taken())]
    assert times == sorted(times)


def test_a_collection_that_cannot_be_written_is_said_and_ends_with_1():
    pcc = Pcc(**QUICK, COLLECTION="/nonexistent/folder/pcc.json", DURATION="500ms")
    status = pcc.wait()
    assert status in (1, 2), pcc.log
    assert "/nonexistent/folder/pcc.json" in pcc.log and "No such file" in pcc.log, pcc.log


def test_what_could_not_be_delivered_is_counted_and_ends_with_1():
    pcc = start(f"http://127.0.0.1:{free_port()}", DURATION="1s", BATCH_SIZE="2")
    assert pcc.wait(60) == 1, pcc.log
    n = len(pcc.taken())
    last = pcc.log.splitlines()[-5:]
    assert n >= 4 and any(re.search(rf"\b(lost|undelivered|measurements)={n}\b", text)
                          for text in last), (n, pcc.log)


def test_a_server_that_never_answers_does_not_hold_up_the_end():
    stub = Stub(default=Answer(cut=0))
    pcc = start(stub, BATCH_SIZE="2", TIMEOUT="2s")
    stub.wait_requests(1)
    assert pcc.stop(seconds=40) == 1, pcc.log


def test_nothing_is_lost_while_the_server_is_away():
    stub = Stub()
    pcc = start(stub, BATCH_SIZE="2")
    first = stub.wait_requests(2)
    stub.close()
    away = len(pcc.taken())
    # Ticks go on: many times what the answers on their way could account for.
    wait_for("ticks without a server", lambda: len(pcc.taken()) >= away + 20, 60)
    back = Stub(port=stub.port)
    wait_for("the backlog", lambda: len(back.stored) >= 20, 90)
    assert pcc.stop() == 0, pcc.log
    session = first[0].key[0]
    assert {r.key[0] for r in back.requests} == {session}
    stored = {r.key: r.measurements for r in stub.requests + back.requests if r.taken}
    assert sorted(m for batch in stored.values() for m in batch) == sorted(plain(pcc.taken()))
    # A busy machine may miss a tick or two; none was dropped, and no send held them up.
    told = gaps(plain(pcc.taken()))
    assert all(gap["kind"] == "missed" for gap in told), told
    assert sum(gap["ticks"] for gap in told) < 10, told


def test_ticks_stay_on_the_grid_while_the_server_stalls():
    stub = Stub(default=Answer(cut=0))
    pcc = start(stub, BATCH_SIZE="1", TIMEOUT="1s", DURATION="5s", SUBSYSTEMS="/proc/uptime")
    assert pcc.wait(60) == 1, pcc.log
    times = [time for time, subsystem, _ in plain(pcc.taken()) if subsystem == "/proc/uptime"]
    # 50 points; a machine as busy as it likes may miss some, a sender in the way would
    # leave one a second.
    assert len(times) > 25, times
    assert len(set(times)) == len(times)


def test_a_pcd_that_comes_back_gets_everything_once():
    pcd = Pcd()
    pcc = start(pcd, BATCH_SIZE="2", IDENTIFIER="agent")
    wait_for("a batch", lambda: pcd.stored("agent"))
    assert pcd.stop() == 0, pcd.log
    before = len(pcc.taken())
    wait_for("ticks without pcd", lambda: len(pcc.taken()) >= before + 10, 30)
    again = Pcd(home=pcd.home, port=pcd.port)
    wait_for("the backlog", lambda: again.stored("agent").count(b"\n") >= before + 10, 90)
    assert pcc.stop() == 0, pcc.log
    assert again.stop() == 0, again.log
    stored = [json.loads(text) for text in again.stored("agent").splitlines()]
    assert sorted(plain(stored)) == sorted(plain(pcc.taken()))


def test_a_full_queue_drops_the_oldest_and_tells():
    stub = Stub([Answer(status=503, headers={"Retry-After": "6"})])
    # Batches of some 20 kB, a queue of three of them; in a form that the stub reads fast,
    # for what is being sent stays, and the one behind it would go.
    pcc = start(stub, ROOT=root_with_big_file(), SUBSYSTEMS="/proc/big", BATCH_SIZE="1",
                QUEUE_MAX="64KiB", SERIALIZATION="msgpack")
    told = wait_for("a gap", lambda: gaps(stub.stored), 60)
    wait_for("fresh batches", lambda: len(stub.requests) > 12, 30)
    pcc.stop()
    # A busy machine may have missed a tick, which is not the queue's doing.
    told = [gap for gap in gaps(stub.stored) if gap["kind"] == "dropped"]
    # Every measurement and every tick that didn't arrive is told of; those that tell of
    # gaps, and went with their batch, count as measurements too.
    missing = set(plain(pcc.taken())) - set(stub.stored)
    lost = without_gaps(missing)
    assert lost and set(stub.stored) <= set(plain(pcc.taken()))
    assert sum(gap["measurements"] for gap in told) == len(missing), (told, len(missing))
    assert sum(gap["ticks"] for gap in told) == len(lost), (told, len(lost))
    assert abs(min(gap["from"] for gap in told) - lost[0][0]) < 0.001
    assert abs(max(gap["to"] for gap in told) - lost[-1][0]) < 0.001
    # The oldest went: nothing that was kept lies between what was lost.
    assert not [m for m in without_gaps(stub.stored) if lost[0] < m < lost[-1]]
    assert re.search(r"WARNING.*(queue|drop|full)", pcc.log), pcc.log


def test_a_stop_of_the_process_is_one_gap():
    stub = Stub()
    pcc = start(stub, BATCH_SIZE="2")
    stub.wait_requests(2)
    pcc.process.send_signal(signal.SIGSTOP)
    time.sleep(2)  # twenty points of the grid pass
    pcc.process.send_signal(signal.SIGCONT)
    # One gap has it all; a busy machine may add one of a tick or two, but no burst of them.
    told = wait_for("the gap", lambda: [gap for gap in gaps(stub.stored)
                                        if gap["ticks"] >= 10], 30)
    assert pcc.stop() == 0, pcc.log
    assert len(told) == 1 and told[0]["kind"] == "missed", told
    assert len(gaps(stub.stored)) <= 3, gaps(stub.stored)


def test_a_batch_is_sealed_before_the_flush_time_would_pass():
    stub = Stub()
    pcc = start(stub, BATCH_SIZE="1000", FLUSH_INTERVAL="1s")
    batches = stub.wait_requests(3)
    assert pcc.stop() == 0, pcc.log
    for request in batches:
        times = [time for time, _, _ in request.measurements]
        # The rule is about points of the grid; a tick may come a little late.
        assert max(times) - min(times) < 1.1, times
        assert len(set(times)) <= 11, times


def test_a_batch_is_sealed_at_the_tick_that_reaches_its_size():
    stub = Stub()
    pcc = start(stub, BATCH_SIZE="3", SUBSYSTEMS="/proc/uptime,/proc/loadavg")
    for request in stub.wait_requests(3):
        assert request.n == 4  # two whole ticks of two
    assert pcc.stop() == 0, pcc.log


def test_a_batch_is_sealed_at_the_tick_that_reaches_its_bytes():
    stub = Stub()
    pcc = start(stub, ROOT=root_with_big_file(), SUBSYSTEMS="/proc/big", BATCH_BYTES="64KiB",
                FLUSH_INTERVAL="1h")
    for request in stub.wait_requests(2):
        assert request.n == 4
    assert pcc.stop() == 0, pcc.log


def test_the_servers_address_may_be_host_and_port():
    stub = Stub()
    pcc = Pcc(None, **{**QUICK, "MODE": "trickle", "APIKEY": "k", "COLLECTION": "",
                       "SERVER": f"localhost:{stub.port}", "BATCH_SIZE": "1"})
    stub.wait_requests(1)
    assert pcc.stop() == 0, pcc.log


def test_trace_shows_what_is_sent_but_no_key():
    stub = Stub()
    pcc = start(stub, BATCH_SIZE="1", LOGLEVEL="TRACE", APIKEY="a-secret-key",
                SERIALIZATION="json")
    stub.wait_requests(2)
    assert pcc.stop() == 0, pcc.log
    assert "/proc/uptime" in pcc.log
    assert "a-secret-key" not in pcc.log


if __name__ == "__main__":
    run(sys.modules[__name__])
