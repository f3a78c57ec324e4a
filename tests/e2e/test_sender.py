#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What pcc does with every answer that a server can give, and with none."""

import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from e2e import Pcc, folder, run, wait_for
from stub import DELTA, Answer, Stub, gaps, old_ping_answer, plain

QUICK = {"FREQUENCY": "100ms", "SUBSYSTEMS": "/proc/uptime", "BATCH_SIZE": "2"}


def start(stub, **options):
    """A pcc of quick, small batches, that also appends them to a collection."""
    collection = os.path.join(folder(), "taken.jsonl")
    return Pcc(stub.url, **{**QUICK, "COLLECTION": collection, **options})


def finish(pcc, stub):
    """Stops pcc, which must have delivered everything, each batch once."""
    assert pcc.stop() == 0, pcc.log
    assert pcc.taken()
    assert sorted(stub.stored) == sorted(plain(pcc.taken())), pcc.log


def comes_again(answer, **options):
    """The first batch gets this answer, and must come again, with the same measurements,
    once."""
    stub = Stub([answer])
    pcc = start(stub, **options)
    wait_for("another batch", lambda: len({r.key for r in stub.requests}) > 1, 60)
    finish(pcc, stub)
    first, *others = [r for r in stub.requests if r.key == stub.requests[0].key]
    assert len(others) == 1 and others[0].measurements == first.measurements, pcc.log
    assert others[0].chain[1] == 0, others[0].chain
    return stub, first, others[0]


def each_comes_again(answers, **options):
    """The same for many answers, each to a pcc of its own, side by side."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda answer: comes_again(answer, **options), answers))


def test_every_batch_has_key_floor_and_form():
    stub = Stub()
    pcc = start(stub, IDENTIFIER="a host", APIKEY="a-secret-key")
    stub.wait_requests(4)
    finish(pcc, stub)
    session = stub.requests[0].key[0]
    assert len(session) == 16 and all(c in "0123456789abcdef" for c in session)
    for number, request in enumerate(stub.requests, 1):
        assert request.method == "POST" and request.path == "/v1/trickle"
        assert request.key == (session, number)
        assert request.headers["idempotency-floor"] == str(number)
        assert request.headers["apikey"] == "a-secret-key"
        assert request.headers["content-type"] == DELTA
        assert request.form == ("delta", "gzip")
        assert request.document["i"] == "a host"
        assert "expect" not in request.headers
    assert "a-secret-key" not in pcc.log


def test_many_batches_go_over_one_connection():
    stub = Stub()
    pcc = start(stub, BATCH_SIZE="1", FREQUENCY="50ms")
    stub.wait_requests(20)
    finish(pcc, stub)
    assert stub.connections == 1
    assert len(stub.pings) == 1


def test_a_connection_closed_while_idle_is_made_anew():
    stub = Stub(default=Answer(headers={"Connection": "close"}, hang_up=True))
    pcc = start(stub)
    stub.wait_requests(4)
    finish(pcc, stub)
    assert stub.connections >= 4


def test_an_answer_200_that_does_not_say_stored_is_none():
    html = b"<html><body>Please log in.</body></html>"
    each_comes_again([Answer(error="no space"),
                      Answer(stored=1),
                      Answer(stored="many"),
                      Answer(body=html, headers={"Content-Type": "text/html"}, stored=None),
                      Answer(body=b"", stored=None),
                      Answer(body=b"{\"error\":null", stored=None)])


def test_a_200_without_a_count_is_believed():
    stub = Stub(default=Answer(stored=None))
    pcc = start(stub)
    stub.wait_requests(3)
    finish(pcc, stub)
    assert len({r.key for r in stub.requests}) == len(stub.requests)


def test_a_replay_counts_as_stored():
    stub = Stub(default=Answer(stored=None, headers={"Idempotent-Replayed": "true"}))
    pcc = start(stub)
    stub.wait_requests(3)
    finish(pcc, stub)
    assert len({r.key for r in stub.requests}) == len(stub.requests)


def test_other_answers_leave_the_batch_for_later():
    each_comes_again([Answer(status=status)
                      for status in (404, 405, 500, 502, 418, 408, 201)])


def test_a_redirect_is_not_followed():
    other = Stub()
    to = {"Location": other.url + "/v1/trickle"}
    each_comes_again([Answer(status=status, headers=to) for status in (301, 302, 307, 308)])
    assert other.connections == 0


def test_an_answer_that_is_cut_leads_to_a_new_connection():
    # Hung up before, in the middle of the head, and in the middle of the body.
    for stub, *_ in each_comes_again([Answer(cut=cut, hang_up=True) for cut in (0, 20, -3)]):
        assert stub.connections == 2


def test_an_answer_that_stalls_is_given_up():
    stalls = [Answer(cut=cut) for cut in (0, 20, -3)]
    for stub, *_ in each_comes_again(stalls, TIMEOUT="1s"):
        assert stub.connections == 2


def test_an_answer_that_does_not_begin_is_given_up_long_before_the_timeout():
    stub, *_ = comes_again(Answer(cut=0), TIMEOUT="1h")
    assert stub.connections == 2


def test_an_answer_without_an_end_is_cut_off():
    comes_again(Answer(body=b"x" * (4 << 20), stored=None))


def test_retry_after_is_waited_for():
    told = {"Retry-After": "2"}
    answers = [Answer(status=status, headers=told) for status in (503, 429, 507)]
    for stub, first, second in each_comes_again(answers):
        # No earlier than told; how much later is not for a test to say. Nothing else
        # was sent meanwhile either.
        assert second.time - first.time > 1.9
        assert not any(first.time < r.time < second.time for r in stub.requests)


def test_what_a_server_that_names_types_refuses_becomes_a_gap():
    stub = Stub([Answer(status=400, error="bad timestamp in item 1")])
    pcc = start(stub)
    refused = stub.wait_requests(1)[0]
    told = wait_for("a gap", lambda: gaps(stub.stored), 30)
    pcc.stop()
    assert [r.key for r in stub.requests].count(refused.key) == 1
    assert len(told) == 1 and told[0]["kind"] == "rejected"
    assert told[0]["measurements"] == refused.n and told[0]["ticks"] == 2
    times = [time for time, _, _ in refused.measurements]
    assert abs(told[0]["from"] - min(times)) < 0.001, (told, times)
    assert abs(told[0]["to"] - max(times)) < 0.001, (told, times)
    assert "bad timestamp in item 1" in pcc.log
    lost = set(refused.measurements)
    assert sorted(stub.stored) == sorted(m for m in plain(pcc.taken()) if m not in lost)


def refuses_all_but_json(status):
    """A server of old: JSON as it is, and no word of what it takes."""
    bare = {"Accept-Post": None, "Accept-Encoding": None}

    def answer(request):
        right = request.form == ("json", "none")
        return Answer(status=200 if right else status, headers=bare,
                      error=None if right else "unexpected", stored=None).render(request)
    return answer


def test_an_old_server_gets_the_next_form_down_and_that_is_remembered():
    for status in (400, 415):
        stub = Stub(default=refuses_all_but_json(status), ping=old_ping_answer)
        pcc = start(stub)
        stub.wait_requests(5)
        finish(pcc, stub)
        forms = [r.form for r in stub.requests]
        assert forms[0] == ("msgpack", "gzip")
        right = forms.index(("json", "none"))
        assert right <= 2 and set(forms[right:]) == {("json", "none")}, forms


def test_what_an_old_server_refuses_as_plain_json_too_becomes_a_gap():
    bare = {"Accept-Post": None, "Accept-Encoding": None}
    refused = set()

    def answer(request):
        if not refused or request.key in refused:
            refused.add(request.key)
            return Answer(status=400, error="never", headers=bare).render(request)
        return Answer(headers=bare, stored=None).render(request)

    stub = Stub(default=answer, ping=old_ping_answer)
    pcc = start(stub)
    told = wait_for("a gap", lambda: gaps(stub.stored), 30)
    pcc.stop()
    assert told[0]["kind"] == "rejected" and told[0]["measurements"] == 2
    assert [r.form for r in stub.requests if r.key in refused][-1] == ("json", "none")


def test_a_ping_answer_decides_the_form():
    for accept, form in ((("application/json", "identity"), ("json", "none")),
                         (("application/json", "gzip"), ("json", "gzip")),
                         (("application/json, " + DELTA, "gzip"), ("delta", "gzip")),
                         ((DELTA, "identity"), ("delta", "none")),
                         (("application/json, application/msgpack", "gzip"),
                          ("msgpack", "gzip")),
                         (("application/msgpack", "identity"), ("msgpack", "none"))):
        named = {"Accept-Post": accept[0], "Accept-Encoding": accept[1]}

        def ping(request, named=named):
            pong = json.dumps({"origintimestamp": 1, "timestamp": 1767813011}).encode()
            return Answer(body=pong, stored=None, headers=named).render(request)
        stub = Stub(ping=ping, default=Answer(headers=named))
        pcc = start(stub)
        stub.wait_requests(2)
        finish(pcc, stub)
        assert {r.form for r in stub.requests} == {form}


def test_a_415_that_names_types_decides_the_form():
    def answer(request):
        right = request.form == ("json", "gzip")
        return Answer(status=200 if right else 415, error=None if right else "not that",
                      headers={"Accept-Post": "application/json",
                               "Accept-Encoding": "gzip"}).render(request)
    stub = Stub(default=answer, ping=old_ping_answer)
    pcc = start(stub)
    stub.wait_requests(4)
    finish(pcc, stub)
    assert [r.form for r in stub.requests[:3]] == [("msgpack", "gzip")] + [("json", "gzip")] * 2


def test_a_server_without_ping_gets_batches_all_the_same():
    def answer(request):
        return Answer(status=404, body=b"404 page not found\n", headers={
            "Accept-Post": None, "Accept-Encoding": None}).render(request)
    stub = Stub(ping=answer)
    pcc = start(stub)
    stub.wait_requests(3)
    finish(pcc, stub)


def test_a_refused_key_is_read_again_and_the_batch_kept():
    for status in (401, 403):
        path = os.path.join(folder(), "key")
        with open(path, "w") as f:
            f.write("wrong-key\n")

        def answer(request, status=status, path=path):
            right = request.headers["apikey"] == "right-key"
            with open(path, "w") as f: # somebody mends it just now
                f.write("right-key\n")
            return Answer(status=200 if right else status,
                          error=None if right else "no such key").render(request)
        stub = Stub(default=answer)
        pcc = start(stub, APIKEY=None, APIKEY_FILE=path)
        refused = stub.wait_requests(1)[0]
        assert refused.headers["apikey"] == "wrong-key"
        wait_for("the right key", lambda: stub.stored, 30)
        finish(pcc, stub)
        assert "wrong-key" not in pcc.log and "right-key" not in pcc.log


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def test_a_key_file_is_read_again_on_sighup():
    path = os.path.join(folder(), "key")
    write(path, "first-key\n")
    stub = Stub()
    pcc = start(stub, APIKEY=None, APIKEY_FILE=path)
    stub.wait_requests(2)
    write(path, "second-key\nand what else there may be\n")
    pcc.process.send_signal(signal.SIGHUP)
    wait_for("the second key",
             lambda: stub.requests[-1].headers.get("apikey") == "second-key")
    for bad, why in (("", "no key"), ("two words", "no key"),
                     ("sha256:" + "0f" * 32, "what a server keeps")):
        write(path, bad)
        pcc.process.send_signal(signal.SIGHUP)
        pcc.wait_line(f"event=key_unreadable.*{why}")
        pcc.lines.clear()
    seen = len(stub.requests)
    wait_for("more batches", lambda: len(stub.requests) > seen + 1)
    assert {r.headers["apikey"] for r in stub.requests[seen:]} == {"second-key"}
    assert len({r.connection for r in stub.requests}) == 1
    finish(pcc, stub)
    assert "second-key" not in pcc.log


def test_sighup_ends_the_wait_after_a_refusal():
    path = os.path.join(folder(), "key")
    write(path, "old-key\n")

    def answer(request):
        right = request.headers["apikey"] == "new-key"
        return Answer(status=200 if right else 401,
                      error=None if right else "no such key").render(request)
    stub = Stub(default=answer)
    pcc = start(stub, APIKEY=None, APIKEY_FILE=path)
    pcc.wait_line("event=delivery_failed status=401")
    pcc.process.send_signal(signal.SIGHUP)
    pcc.wait_line("event=key_read .*as before")
    stub.wait_requests(2)
    write(path, "new-key\n")
    pcc.process.send_signal(signal.SIGHUP)
    wait_for("a batch stored", lambda: stub.stored, 5)
    finish(pcc, stub)


def test_a_key_that_stays_wrong_is_not_tried_often():
    stub = Stub(default=Answer(status=401, error="no such key"))
    pcc = start(stub)
    stub.wait_requests(1)
    time.sleep(3)  # many ticks and batches, and several times the first backoff
    assert len(stub.requests) == 1
    assert pcc.stop() == 1, pcc.log
    assert "no such key" in pcc.log


def test_a_batch_that_is_too_large_is_split_at_a_tick():
    def answer(request):
        fits = request.n <= 4
        return Answer(status=200 if fits else 413, error=None if fits else "too large"
                      ).render(request)
    stub = Stub(default=answer)
    # Ticks of two, batches of five ticks: to be cut in two, and perhaps again.
    pcc = start(stub, SUBSYSTEMS="/proc/uptime,/proc/loadavg", BATCH_SIZE="10")
    wait_for("20 measurements", lambda: len(stub.stored) >= 20, 30)
    finish(pcc, stub)
    kept = [r for r in stub.requests if r.taken]
    assert len({r.key for r in kept}) == len(kept)
    assert not {r.key for r in kept} & {r.key for r in stub.requests if not r.taken}
    for request in kept:
        names = [subsystem for _, subsystem, _ in request.measurements]
        assert names == ["/proc/uptime", "/proc/loadavg"] * (len(names) // 2)


def test_one_tick_that_is_too_large_becomes_a_gap():
    stub = Stub([Answer(status=413, error="too large")])
    pcc = start(stub, SUBSYSTEMS="/proc/uptime,/proc/loadavg", BATCH_SIZE="1")
    refused = stub.wait_requests(1)[0]
    told = wait_for("a gap", lambda: gaps(stub.stored), 30)
    pcc.stop()
    assert [r.key for r in stub.requests].count(refused.key) == 1
    assert told[0]["kind"] == "rejected" and told[0]["ticks"] == 1
    assert told[0]["measurements"] == 2


if __name__ == "__main__":
    run(sys.modules[__name__])
