#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who may write as whom; keys that are made, changed while everything runs, and seen by
nobody."""

import gzip
import hashlib
import json
import os
import re
import signal
import subprocess
import sys

import msgpack
from delta_writer import TYPE, Writer
from e2e import (PCC, PCD, Pcc, Pcd, Wire, clean_environment, folder, keyed, line, lines,
                 measurements, run, wait_for)

T = 1767813011
SHAPES = {"/proc/meminfo": b"MemFree: \0 kB\n"}
RESTRICTED = "restricted-key-0123456789"


def keygen(*patterns):
    """Returns the key and the line to store."""
    done = subprocess.run([PCD, "keygen", *patterns], capture_output=True, text=True,
                          env=clean_environment(), timeout=60, check=True)
    key, stored = done.stdout.splitlines()
    assert done.stderr == "" and done.stdout.endswith("\n")
    return key, stored


def digest(key, *patterns):
    return " ".join(["sha256:" + hashlib.sha256(key.encode()).hexdigest(), *patterns])


def put(path, *texts, mode=0o600):
    """Replaces a file by renaming over it."""
    with open(path + ".new", "w") as f:
        f.writelines(text + "\n" for text in texts)
    os.chmod(path + ".new", mode)
    os.rename(path + ".new", path)


def apikeys(pcd):
    return os.path.join(pcd.home, "apikeys")


def start(*keys, **options):
    """A pcd whose file of keys has these lines."""
    home = folder()
    put(os.path.join(home, "apikeys"), *keys)
    return Pcd(home=home, key=None, **options)


def batch(identifier, text="x"):
    return {"identifier": identifier, "measurements": measurements(1, text=text)}


def body(identifier, form, text="x"):
    """A batch in some form: the body and its headers."""
    if form == "json":
        return json.dumps(batch(identifier, text)).encode(), {"Content-Type": "application/json"}
    if form == "msgpack":
        items = [{k.capitalize(): v for k, v in m.items()}
                 for m in batch(identifier, text)["measurements"]]
        return (msgpack.packb({"i": identifier, "m": items}),
                {"Content-Type": "application/msgpack"})
    raw, headers = body(identifier, form.removesuffix("+gzip"), text)
    return gzip.compress(raw), {**headers, "Content-Encoding": "gzip"}


def send(pcd, data, headers, key, **more):
    """Returns (status, error)."""
    status, answered, answer = pcd.request("POST", "/v1/trickle", data,
                                           {**headers, "apikey": key, **more})
    if answered["Content-Type"] == "application/json":
        return status, json.loads(answer)["error"]
    return status, msgpack.unpackb(answer)["e"]


def test_keygen_makes_a_key_and_the_line_that_lets_it_in():
    key, stored = keygen("web-*", "db-?")
    assert re.fullmatch("[0-9a-f]{64}", key), key
    assert stored == digest(key, "web-*", "db-?"), stored
    other, alone = keygen()
    assert other != key and alone == digest(other), alone
    pcd = start(stored)
    for identifier, expected in (("web-1", 200), ("db-1", 200), ("db-10", 403), ("x", 403)):
        assert send(pcd, *body(identifier, "json"), key)[0] == expected, identifier
    assert send(pcd, *body("web-1", "json"), other)[0] == 401
    assert pcd.stop() == 0, pcd.log


def test_keygen_says_what_is_wrong():
    for argument in ("a b", "", "#x", "--nothing", "a" * 129, "\x7f", b"\xff"):
        done = subprocess.run([PCD, "keygen", argument], capture_output=True,
                              env=clean_environment(), timeout=60, check=False)
        assert done.returncode == 2 and not done.stdout, argument
        assert done.stderr.startswith(b"pcd keygen: ") and done.stderr.count(b"\n") == 1
    done = subprocess.run([PCD, "keygen", "--help"], capture_output=True, text=True,
                          env=clean_environment(), timeout=60, check=True)
    assert "PATTERN" in done.stdout and "PCC_APIKEY_FILE" in done.stdout
    with open("/dev/full", "w") as full:
        done = subprocess.run([PCD, "keygen"], stdout=full, stderr=subprocess.PIPE,
                              env=clean_environment(), timeout=60, check=False)
    assert done.returncode == 1 and b"No space left" in done.stderr


def test_what_keygen_printed_is_a_key_file_of_pcc():
    key, stored = keygen("an-agent")
    path = os.path.join(folder(), "pcc.key")
    put(path, key, stored)
    pcd = start(stored)
    pcc = Pcc(pcd, APIKEY=None, APIKEY_FILE=path, IDENTIFIER="an-agent", FREQUENCY="100ms",
              BATCH_SIZE="10")
    pcd.wait_stored("an-agent", 10)
    assert pcc.stop() == 0, pcc.log
    assert pcd.stop() == 0, pcd.log


def test_a_key_writes_as_its_identifiers_only_and_nothing_else_is_left_behind():
    pcd = start("all", RESTRICTED + " web-* caf\u00e9")
    seq = 0
    for form in ("json", "msgpack", "json+gzip", "msgpack+gzip"):
        for identifier in ("db-1", "web", "xweb-1", "Web-1", "caf", "../web-1", "web\u0131"):
            seq += 1
            status, error = send(pcd, *body(identifier, form), RESTRICTED, **keyed(7, seq))
            assert status == 403, (form, identifier)
            assert error == f'this key may not write as "{identifier}"', error
        for identifier in ("web-1", "caf\u00e9"):
            seq += 1
            assert send(pcd, *body(identifier, form), RESTRICTED, **keyed(7, seq)) == (200, None)
    status, _, page = pcd.request("GET", "/metrics", headers={"apikey": None})
    assert status == 200 and b'pcd_requests_total{route="trickle",code="403"} 28' in page
    assert b"pcd_batches_total 8\n" in page and b"pcd_hosts_known 2\n" in page
    # A number that was refused is free, and one that was stored is not told of.
    assert send(pcd, *body("db-1", "json", "y"), "all", **keyed(7, 1)) == (200, None)
    assert send(pcd, *body("db-1", "json", "y"), RESTRICTED, **keyed(7, 1))[0] == 403
    assert pcd.stop() == 0, pcd.log
    assert sorted(os.listdir(pcd.data)) == ["caf%C3%A9", "db-1", "web-1"]
    assert pcd.stored("db-1") == lines(batch("db-1", "y"))


def test_a_refused_delta_leaves_the_chain_as_it_was():
    pcd = start("all", RESTRICTED + " web-*")
    headers = {"Content-Type": TYPE}
    writer = Writer("host", SHAPES)
    ticks = [[(T + at, [2**40 + at])] for at in range(3)]
    bodies = [writer.snapshot(ticks[0]), writer.next(ticks[1]), writer.next(ticks[2])]
    other = Writer("host", SHAPES)
    assert send(pcd, bodies[0], headers, "all", **keyed(7, 1)) == (200, None)
    # With the right numbers, under the session that it belongs to, and as a snapshot.
    assert send(pcd, bodies[1], headers, RESTRICTED, **keyed(7, 2))[0] == 403
    assert send(pcd, other.snapshot(ticks[0]), headers, RESTRICTED, **keyed(7, 2))[0] == 403
    assert send(pcd, bodies[1], headers, "all", **keyed(7, 2)) == (200, None)
    assert send(pcd, bodies[2], headers, "all", **keyed(7, 3)) == (200, None)
    assert pcd.stop() == 0, pcd.log
    expected = [m for tick in ticks for m in writer.measurements(tick)]
    assert pcd.stored("host") == b"".join(line(m) for m in expected)


def test_an_agent_that_may_not_write_yet_loses_nothing():
    key, _ = keygen()
    path = os.path.join(folder(), "key")
    put(path, key)
    pcd = start(digest(key, "somebody-else"))
    pcc = agent(pcd, "web-1", path)
    pcc.wait_line('event=delivery_failed status=403 reason=.*may not write as .*web-1')
    put(apikeys(pcd), digest(key, "web-*"))
    wait_for("the key to do", lambda: send(pcd, *body("web-2", "json"), key)[0] == 200)
    # By itself pcc would try again within a minute or so.
    pcc.process.send_signal(signal.SIGHUP)
    pcd.wait_stored("web-1", 20)
    check_delivered(pcd, pcc)
    assert pcd.stop() == 0, pcd.log


def test_a_changed_file_is_taken_by_itself_and_a_broken_one_is_not():
    pcd = start("first-key-0123456789")
    connection = pcd.connect()

    def does(key):
        headers = {"Content-Type": "application/json", "apikey": key}
        return pcd.request("POST", "/v1/trickle", body("host", "json")[0], headers,
                           connection)[0] == 200
    assert does("first-key-0123456789") and not does("second-key-0123456789")
    put(apikeys(pcd), "second-key-0123456789")
    wait_for("the second key", lambda: does("second-key-0123456789"))
    assert not does("first-key-0123456789")
    # Written in place, with what a Windows editor makes of it.
    with open(apikeys(pcd), "w", encoding="utf-8-sig", newline="\r\n") as f:
        f.write("# keys\nthird-key-0123456789\tho?t\n\nfourth-key-0123456789")
    wait_for("the third key", lambda: does("third-key-0123456789"))
    assert does("fourth-key-0123456789")
    put(apikeys(pcd), "fifth-key-0123456789", "", "a-secret b\x01c")
    pcd.wait_line(r'ERROR event=keys_not_reloaded file=\S+apikeys"? '
                  r'reason="line 3: a blank or control character in a pattern"')
    assert does("fourth-key-0123456789") and not does("fifth-key-0123456789")
    os.remove(apikeys(pcd))
    pcd.wait_line("event=keys_not_reloaded .*No such file")
    assert does("fourth-key-0123456789")
    put(apikeys(pcd), "sixth-key-0123456789")
    wait_for("the sixth key", lambda: does("sixth-key-0123456789"))
    assert "a-secret" not in pcd.log
    assert pcd.stop() == 0, pcd.log


def test_a_file_that_others_may_read_or_its_group_may_write_gets_a_warning():
    pcd = start("a-key-of-some-length")
    assert "keys_exposed" not in pcd.log
    for mode in (0o644, 0o604, 0o602, 0o620, 0o660):
        pcd.lines.clear()
        os.chmod(apikeys(pcd), mode)
        pcd.process.send_signal(signal.SIGHUP)
        pcd.wait_line(f"WARNING event=keys_exposed file=\\S+ mode=0{mode:o}")
    pcd.lines.clear()
    os.chmod(apikeys(pcd), 0o600)  # which is a change, too
    pcd.wait_line("event=keys_loaded")
    assert pcd.stop() == 0, pcd.log
    assert "keys_exposed" not in pcd.log
    assert "keys_weak" not in pcd.log


def test_a_file_that_its_group_may_read_gets_no_warning():
    """It is how pcd reads a file that is root's."""
    home = folder()
    put(os.path.join(home, "apikeys"), "a-key-of-some-length", mode=0o640)
    pcd = Pcd(home=home, key=None)
    pcd.process.send_signal(signal.SIGHUP)
    wait_for("it to be read again", lambda: pcd.log.count("event=keys_loaded") == 2)
    assert pcd.stop() == 0, pcd.log
    assert "keys_exposed" not in pcd.log


def test_a_hundred_thousand_keys():
    keys = [f"{number:064x}" for number in range(100000)]
    pcd = start(*(digest(key, f"host-{n}") for n, key in enumerate(keys)))
    for n in (0, 12345, 99999):
        assert send(pcd, *body(f"host-{n}", "json"), keys[n]) == (200, None)
        assert send(pcd, *body(f"host-{n + 1}", "json"), keys[n])[0] == 403
    assert send(pcd, *body("host-0", "json"), f"{100000:064x}")[0] == 401
    put(apikeys(pcd), *("k" + key for key in keys), "one-too-many")
    pcd.wait_line("event=keys_not_reloaded .*more than 100000 keys")
    assert send(pcd, *body("host-0", "json"), keys[0]) == (200, None)
    assert pcd.stop() == 0, pcd.log


# Under load


def agent(pcd, identifier, key_path, **options):
    """A pcc of quick ticks, which also writes down what it took."""
    return Pcc(pcd, **{"APIKEY": None, "APIKEY_FILE": key_path, "IDENTIFIER": identifier,
                       "FREQUENCY": "10ms", "SUBSYSTEMS": "/proc/uptime", "BATCH_SIZE": "20",
                       "COLLECTION": os.path.join(folder(), "taken.jsonl"), **options})


def check_delivered(pcd, pcc):
    """Ends an agent: what it took is in the store, byte for byte, once."""
    assert pcc.stop() == 0, pcc.log
    with open(pcc.options["COLLECTION"], "rb") as f:
        taken = sorted(f.readlines())
    identifier = pcc.options["IDENTIFIER"]
    assert taken
    wait_for("all lines in the day file",
             lambda: pcd.stored(identifier).count(b"\n") >= len(taken))
    assert sorted(pcd.stored(identifier).splitlines(keepends=True)) == taken
    assert "dropped=0 rejected=0" in pcc.lines[-1], pcc.log


def test_keys_are_changed_under_load_without_a_restart_or_a_loss():
    old, new, last = (keygen()[0] for _ in range(3))
    pcd = start(digest(old, "agent-*"))
    paths = [os.path.join(folder(), "key") for _ in range(3)]
    for path in paths:
        put(path, old)
    pccs = [agent(pcd, f"agent-{n}", path) for n, path in enumerate(paths)]

    def more():
        """Each agent has got more batches through."""
        before = [len(pcd.stored(f"agent-{n}")) for n in range(3)]
        wait_for("more batches", lambda: all(
            len(pcd.stored(f"agent-{n}")) > size for n, size in enumerate(before)), 20)

    def hand_out(key):
        for path, pcc in zip(paths, pccs):
            pcc.lines.clear()
            put(path, key)
            pcc.process.send_signal(signal.SIGHUP)
            pcc.wait_line("event=key_read")

    def does(key):
        return send(pcd, *body("agent-x", "json"), key)[0] == 200

    def refusals():
        _, _, page = pcd.request("GET", "/metrics", headers={"apikey": None})
        return re.search(rb'trickle",code="401"} (\d+)', page)
    more()
    # As one should: nobody is refused.
    put(apikeys(pcd), digest(old, "agent-*"), digest(new, "agent-*"))
    wait_for("the new key", lambda: "keys=2" in pcd.log)
    hand_out(new)
    more()
    put(apikeys(pcd), digest(new, "agent-*"))
    wait_for("the end of the old one", lambda: pcd.log.count("keys_loaded") == 3)
    more()
    assert refusals() is None, refusals()
    # The other way round: they are, keep what they have, and go on.
    put(apikeys(pcd), digest(last, "agent-*"))
    wait_for("the last key", lambda: does(last))
    for pcc in pccs:
        pcc.wait_line("event=delivery_failed status=401")
    hand_out(last)
    more()
    assert refusals()
    for pcc in pccs:
        check_delivered(pcd, pcc)
    assert pcd.stop() == 0, pcd.log


# Nobody sees a key


def all_files(path):
    for base, _, names in os.walk(path):
        for name in names:
            with open(os.path.join(base, name), "rb") as f:
                yield os.path.join(base, name), f.read()


def test_keys_are_in_no_log_answer_command_line_or_file():
    # Of a length of their own, so that no part can be found by chance.
    good, bad, wrong = ("Secret" + letter * 26 for letter in "GBW")
    shown = []  # (where, bytes)
    pcd = start(good + " web-*", LOGLEVEL="TRACE", HEADERS_MAX="2KiB")

    def call(headers, data=b"", method="POST", path="/v1/trickle"):
        answer = pcd.request(method, path, data, {"apikey": None, **headers})
        shown.append((f"{method} {path}", repr(answer[1].items()).encode() + answer[2]))
        return answer[0]

    def raw(*heads):
        wire = Wire(pcd)
        wire.send(b"".join(head.encode() + b"\r\n" for head in heads) + b"\r\n")
        status, headers, answer = wire.answer()
        shown.append((heads[0], repr(headers.items()).encode() + answer))
        wire.close()
        return status
    json_body, types = body("web-1", "json")
    for key in (good, wrong):
        assert call({**types, "apikey": key}, json_body) == (200 if key is good else 401)
        assert call({**types, "Authorization": "Bearer " + key}, json_body) == \
            (200 if key is good else 401)
        call({**types, "apikey": key}, body("db-1", "json")[0])
        call({**types, "apikey": key}, b"{")
        call({**types, "apikey": key, "Idempotency-Key": key}, json_body)
        call({"apikey": key}, method="GET", path="/metrics")
        call({"apikey": key}, method="GET", path="/healthz")
        call({"apikey": key}, method="PUT")
        call({"apikey": key}, path="/nowhere")
        call({"apikey": key, "x": "y" * 3000})
        post = ("POST /v1/trickle HTTP/1.1", "Host: x")
        assert raw(*post, "apikey: " + key, "apikey: " + key, "Content-Length: 0") == 400
        assert raw(*post, "apikey : " + key, "Content-Length: 0") == 400
        raw(*post, "apikey: " + key + "\x7f", "Content-Length: 0")
        raw("POST /v1/trickle?apikey=" + key + " HTTP/1.1", "Host: x", "Content-Length: 0")
    # A file with an error in the very line of a key.
    for text in (bad + "\x01", bad + " #x", "sha256:" + bad, bad * 20):
        errors = pcd.log.count("keys_not_reloaded")
        put(apikeys(pcd), good + " web-*", text)
        pcd.process.send_signal(signal.SIGHUP)
        wait_for("an error", lambda n=errors: pcd.log.count("keys_not_reloaded") > n)
    put(apikeys(pcd), good + " web-*")

    path = os.path.join(folder(), "key")
    put(path, good)
    pccs = [agent(pcd, "web-1", path, FREQUENCY="100ms", LOGLEVEL="TRACE", BATCH_SIZE="1"),
            agent(pcd, "web-2", None, FREQUENCY="100ms", LOGLEVEL="TRACE", APIKEY=good,
                  APIKEY_FILE=None),
            agent(pcd, "db-2", None, FREQUENCY="100ms", LOGLEVEL="TRACE", APIKEY=wrong,
                  APIKEY_FILE=None, TIMEOUT="1s")]
    pcd.wait_stored("web-1", 3)
    pcd.wait_stored("web-2", 3)
    pccs[2].wait_line("status=401")
    for text in (bad + " " + bad, bad + "\x01", bad * 40):
        put(path, text)
        pccs[0].process.send_signal(signal.SIGHUP)
        pccs[0].wait_line("event=key_unreadable")
    for program in (pcd, *pccs):
        with open(f"/proc/{program.process.pid}/cmdline", "rb") as f:
            shown.append((f.name, f.read()))
    assert [pcc.stop() for pcc in pccs] == [0, 0, 1]
    assert pcd.stop() == 0, pcd.log

    # What stops a start.
    for argv, variables in (
            ([PCC, "--check-config"], {"PCC_APIKEY": good}),
            ([PCC, "--mode", "trickle"], {"PCC_APIKEY": bad + " x"}),
            ([PCC, "--apikey", bad], {}), ([PCC, "--apikey=" + bad], {}),
            ([PCC, "--api-key=" + bad], {}),
            ([PCC, "--mode", "trickle"], {"PCC_APIKEY_FILE": path}),
            ([PCD], {"PCD_APIKEYS_FILE": path, "PCD_HOME": folder()})):
        done = subprocess.run(argv, capture_output=True, env=clean_environment(**variables),
                              timeout=60, check=False)
        shown.append((repr(argv[1:]), done.stdout + done.stderr))

    shown += [("log of " + p.argv[0], p.log.encode()) for p in (pcd, *pccs)]
    shown += [(name, data) for name, data in all_files(pcd.home)
              if os.path.basename(name) != "apikeys"]
    assert len(shown) > 40 and all("TRACE" in p.log or "DEBUG" in p.log for p in (pcd, *pccs))
    for where, data in shown:
        for key in (good, bad, wrong):
            assert key[:16].encode() not in data, (where, data)


if __name__ == "__main__":
    run(sys.modules[__name__])
