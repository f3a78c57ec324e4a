#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Delta as pcc sends it: which batch builds on which, and what comes after a failure.

A machine as busy as it likes may delay an answer past the next batch, which then stands
alone: tests that need a chain look at the batches that are in one.
"""

import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from e2e import Pcc, Pcd, folder, run, wait_for
from stub import CONFLICT, DELTA, OK, Answer, Stub, old_ping_answer, plain

QUICK = {"FREQUENCY": "100ms", "SUBSYSTEMS": "/proc/uptime,/proc/stat", "BATCH_SIZE": "4"}


def start(server, **options):
    """A pcc of quick, small batches of two ticks, that also appends them to a
    collection."""
    collection = os.path.join(folder(), "taken.jsonl")
    return Pcc(server, **{**QUICK, "COLLECTION": collection, **options})


def finish(pcc, *stubs):
    """Stops pcc, which must have delivered everything, each batch once. Return: how its
    counters ended."""
    assert pcc.stop() == 0, pcc.log
    assert pcc.taken()
    stored = [m for stub in stubs for m in stub.stored]
    assert sorted(stored) == sorted(plain(pcc.taken())), pcc.log
    return dict(re.findall(r"(\w+)=(\d+)", pcc.wait_line(r"event=stopped .*").group()))


def chained(stub):
    return [r for r in list(stub.requests) if r.form[0] == "delta" and r.chain]


def wait_chained(stub, n):
    wait_for(f"{n} chained batches", lambda: len(chained(stub)) >= n, 30)
    return chained(stub)


def test_each_batch_builds_on_the_one_before_that_was_sent_at_once():
    stub = Stub()
    pcc = start(stub)
    wait_chained(stub, 6)
    counters = finish(pcc, stub)
    places = [r.chain for r in chained(stub)]
    assert places == [(places[0][0], number) for number in range(len(places))]
    assert counters["conflicts"] == "0"


def test_ticks_are_numbered_from_0_without_a_hole():
    stub = Stub()
    pcc = start(stub)
    stub.wait_requests(5)
    finish(pcc, stub)
    expected = 0
    for request in stub.requests:
        assert request.document["k"] == expected
        expected += len({when for when, _, _ in request.measurements})


def answer_to_second(answer, **options):
    """The second batch of the chain gets this answer, once. Return: it, all batches from
    it on, how the counters ended, and the log."""
    met = []

    class Failing(Stub):
        def _answer(self, request):
            if met or request.form[0] != "delta" or not request.chain or request.chain[1] != 1:
                return super()._answer(request)
            self.default = answer
            found = super()._answer(request)
            self.default = OK
            met.append(request)
            return found

    stub = Failing()
    pcc = start(stub, **options)
    wait_for("the batch again", lambda: met and len(
        [r for r in stub.requests if r.key == met[0].key]) > 1, 60)
    wait_chained(stub, len(chained(stub)) + 2)
    counters = finish(pcc, stub)
    return met[0], stub.requests[stub.requests.index(met[0]):], counters, pcc.log


def comes_again_as_a_snapshot(answer, **options):
    first, requests, counters, log = answer_to_second(answer, **options)
    again = [r for r in requests if r.key == first.key][1:]
    assert len(again) == 1, log
    assert again[0].measurements == first.measurements
    assert again[0].document["k"] == first.document["k"]
    places = [r.chain for r in requests[1:] if r.chain]
    assert places[0] == again[0].chain and places[0][0] > first.chain[0], places
    assert places == [(places[0][0], number) for number in range(len(places))], places
    return counters, log


def test_a_batch_that_fails_comes_again_as_a_snapshot():
    def check(case):
        answer, options = case
        counters, _ = comes_again_as_a_snapshot(answer, **options)
        assert counters["conflicts"] == "0"
    with ThreadPoolExecutor() as pool:
        list(pool.map(check, ((Answer(status=503), {}), (Answer(status=500), {}),
                              (Answer(error="no room"), {}), (Answer(stored=1), {}),
                              (Answer(cut=-1, hang_up=True), {}),
                              (Answer(cut=0), {"TIMEOUT": "1s"}))))


def test_a_connection_that_is_closed_instead_of_an_answer_costs_nothing():
    # libcurl then sends the same once more over another one, by itself.
    first, requests, counters, log = answer_to_second(Answer(cut=0, hang_up=True))
    assert [r.measurements for r in requests if r.key == first.key] == [first.measurements] * 2
    assert counters["conflicts"] == "0", log


def test_a_server_that_asks_for_a_snapshot_gets_it_at_once():
    counters, log = comes_again_as_a_snapshot(CONFLICT)
    assert counters["conflicts"] == "1"
    assert "delivery_failed" not in log, log


def test_a_server_that_asks_for_a_snapshot_over_and_over_is_left_in_peace():
    stub = Stub(default=CONFLICT)
    pcc = start(stub)
    stub.wait_requests(1)
    time.sleep(3)
    assert len(stub.requests) < 50
    assert len({r.key for r in stub.requests}) == 1
    assert all(r.chain[1] == 0 for r in stub.requests)
    assert pcc.stop() == 1, pcc.log
    assert "snapshot required" in pcc.log


def test_a_server_that_lost_its_states_gets_all_once():
    stub = Stub()
    pcc = start(stub)
    wait_chained(stub, 2)
    stub.forget()
    refused = wait_for("a conflict", lambda: [r for r in stub.requests if not r.taken], 30)[0]
    wait_chained(stub, len(chained(stub)) + 3)
    counters = finish(pcc, stub)
    assert refused.chain[1] > 0 and counters["conflicts"] == "1"
    again = [r for r in stub.requests if r.key == refused.key and r.taken]
    assert len(again) == 1 and again[0].chain[1] == 0
    assert "delivery_failed" not in pcc.log, pcc.log


def test_another_server_behind_the_same_address_gets_all_once():
    stub = Stub()
    pcc = start(stub)
    wait_chained(stub, 2)
    stub.close()
    other = Stub(port=stub.port)
    wait_chained(other, 3)
    assert pcc.stop() == 0, pcc.log
    stored = {r.key: r.measurements for r in stub.requests + other.requests if r.taken}
    assert sorted(m for batch in stored.values() for m in batch) == sorted(plain(pcc.taken()))
    taken = [r.chain for r in chained(other) if r.taken]
    assert taken == [(taken[0][0], number) for number in range(len(taken))], taken


def test_a_replay_makes_the_next_batch_a_snapshot():
    replayed = []

    def answer(request):
        again = not replayed and request.chain and request.chain[1] == 1
        if again:
            replayed.append(request)
        return Answer(headers={"Idempotent-Replayed": "true" if again else None},
                      stored=None if again else "right").render(request)
    stub = Stub(default=answer)
    pcc = start(stub)
    wait_for("a replay, and two batches after it",
             lambda: replayed and replayed[0] in chained(stub)[:-2], 30)
    counters = finish(pcc, stub)
    places = [r.chain for r in chained(stub)]
    at = places.index(replayed[0].chain)
    assert places[at + 1][1] == 0 and places[at + 2] == (places[at + 1][0], 1), places
    assert counters["conflicts"] == "0"


def test_a_snapshot_comes_by_itself_after_the_interval():
    stub = Stub()
    pcc = start(stub, SNAPSHOT_INTERVAL="4")  # two batches of two ticks
    wait_chained(stub, 7)
    finish(pcc, stub)
    numbers = [r.chain[1] for r in chained(stub)]
    # A batch may have more than two ticks on a machine that is busy, never fewer.
    assert max(numbers) == 1 and numbers.count(0) >= 3, numbers


def test_batches_of_an_outage_stand_alone_and_arrive_once():
    stub = Stub([Answer(status=503, headers={"Retry-After": "2"})])
    pcc = start(stub)
    stub.wait_requests(1)
    wait_for("the backlog", lambda: len(stub.stored) > 20, 30)
    wait_chained(stub, len(chained(stub)) + 2)
    counters = finish(pcc, stub)
    first, again, *others = stub.requests
    assert first.key == again.key and first.chain[1] == again.chain[1] == 0
    waited = others[:next(at for at, r in enumerate(others) if r.chain)]
    assert len(waited) >= 3
    assert others[len(waited)].chain == (again.chain[0], 1)
    assert counters["conflicts"] == "0"


def test_halves_of_a_batch_that_is_too_large_stand_alone():
    refused = []

    def answer(request):
        if request.chain and request.chain[1] == 1 and not refused:
            refused.append(request)
            return Answer(status=413, error="too large").render(request)
        return OK.render(request)
    stub = Stub(default=answer)
    pcc = start(stub)
    wait_for("a refusal", lambda: refused, 30)
    wait_chained(stub, len(chained(stub)) + 2)
    finish(pcc, stub)
    at = stub.requests.index(refused[0])
    halves = stub.requests[at + 1:at + 3]
    assert not any(r.chain for r in halves)
    assert halves[0].measurements + halves[1].measurements == refused[0].measurements
    assert halves[0].document["k"] == refused[0].document["k"]
    assert halves[1].document["k"] > halves[0].document["k"]
    assert next(r for r in chained(stub)[2:]).chain[1] == 0


def test_more_subsystems_than_delta_holds_go_in_msgpack_and_the_chain_comes_back():
    root = folder()
    names = [f"/some/{at}" for at in range(10)] + [f"/more/{at}" for at in range(1000)]
    for name in names:
        os.makedirs(os.path.dirname(root + name), exist_ok=True)
        with open(root + name, "w") as f:
            f.write(f"{name} 1\n")
    stub = Stub()
    pcc = start(stub, ROOT=root, SUBSYSTEMS=",".join(names), FREQUENCY="500ms",
                BATCH_SIZE="1", QUEUE_MAX="64MiB")
    stub.wait_requests(4, 60)
    assert {r.form for r in stub.requests[:4]} == {("msgpack", "gzip")}
    os.rename(root + "/more", root + "/gone")
    wait_chained(stub, 3)
    finish(pcc, stub)
    for request in stub.requests:
        n = len({name for _, name, _ in request.measurements} - {"pcc/gap"})
        assert request.form == ("msgpack" if n > 1024 - 16 else "delta", "gzip"), n
    assert chained(stub)[0].chain[1] == 0 and chained(stub)[1].chain[1] == 1
    assert "batch_rejected" not in pcc.log and "batch_split" not in pcc.log, pcc.log
    assert pcc.log.count("event=not_in_delta") == 1, pcc.log


def test_a_415_to_delta_gets_the_next_form_down():
    def answer(request):
        right = request.form[0] != "delta"
        return Answer(status=200 if right else 415, error=None if right else "not that"
                      ).render(request)
    stub = Stub(default=answer)
    pcc = start(stub)
    stub.wait_requests(4)
    finish(pcc, stub)
    assert [r.form for r in stub.requests[:3]] == [("delta", "gzip")] + [("msgpack", "gzip")] * 2


def test_a_server_that_is_replaced_by_an_older_one_gets_what_that_takes():
    old = {"Accept-Post": None, "Accept-Encoding": None}

    def answer(request):
        right = request.form[0] != "delta"
        return Answer(status=200 if right else 400, error=None if right else "bad body",
                      headers=old, stored=None).render(request)
    stub = Stub()
    pcc = start(stub)
    wait_chained(stub, 2)
    stub.close()
    other = Stub(default=answer, ping=old_ping_answer, port=stub.port, knows_delta=False)
    other.wait_requests(4)
    assert pcc.stop() == 0, pcc.log
    stored = {r.key: r.measurements for r in stub.requests + other.requests if r.taken}
    assert sorted(m for batch in stored.values() for m in batch) == sorted(plain(pcc.taken()))
    # It may be found out by the first batch alone, where libcurl connected anew by itself.
    assert {r.form for r in other.requests[1:]} == {("msgpack", "gzip")}
    assert "batch_rejected" not in pcc.log, pcc.log


def test_trace_shows_where_in_the_chain_a_batch_stands():
    stub = Stub()
    pcc = start(stub, LOGLEVEL="TRACE")
    requests = wait_chained(stub, 3)
    finish(pcc, stub)
    for request, word in zip(requests, ("snapshot", "chained", "chained")):
        snapshot, number = request.chain
        assert re.search(rf"event=delta batch={word} ss={snapshot} q={number}$", pcc.log, re.M)
    assert f"Content-Type={DELTA}" in pcc.log and "/proc/uptime" in pcc.log


def test_a_pcd_that_is_killed_and_comes_back_gets_all_once():
    pcd = Pcd()
    pcc = start(pcd, IDENTIFIER="agent")
    wait_for("batches", lambda: pcd.stored("agent").count(b"\n") >= 12, 30)
    pcd.kill()
    before = len(pcc.taken())
    wait_for("ticks without pcd", lambda: len(pcc.taken()) >= before + 10, 30)
    again = Pcd(home=pcd.home, port=pcd.port)
    wait_for("the backlog", lambda: again.stored("agent").count(b"\n") >= before + 20, 90)
    assert pcc.stop() == 0, pcc.log
    assert again.stop() == 0, again.log
    with open(pcc.options["COLLECTION"], "rb") as f:
        assert sorted(again.stored("agent").splitlines()) == sorted(f.read().splitlines())


if __name__ == "__main__":
    run(sys.modules[__name__])
