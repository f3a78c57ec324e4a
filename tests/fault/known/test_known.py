#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Disasters of other systems, made to happen to ours where no other test does; and that the
table beside this file (README.md) names each, with tests that there are."""

import json
import os
import re
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

import e2e  # noqa: E402
from e2e import PATIENCE, SOURCE, Pcc, Pcd, content, folder, keyed, lines, measurements, run, \
    wait_for  # noqa: E402
from faults import Shim  # noqa: E402

# Each must have a row: what users of such systems suffered from most.
REFERENCES = """
vector#25639 vector#25766 vector#25570 VictoriaMetrics#11192 vector#17644 fluent-bit#10952
fluent-bit#11847 otel-contrib#35899 otel#7198 otel-contrib#30770 prometheus#18552
prometheus#8809 telegraf#16500 telegraf#2679 cortex#2662 node_exporter#244 node_exporter#1086
node_exporter#1686 netdata#6077 telegraf#5335 collectd#913 systemd#2877 fleetdm/fleet#53357
vector#25488 sysstat#275
vector#15586 otel#8503 grafana/agent#4954 cadvisor#3064 node_exporter#3161 netdata#12279
otel#5952 telegraf#13470
""".split()
ROW = re.compile(r"^\| (\S+#\d+)[^|]* \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$")
TEST = re.compile(r"`([\w/.-]+)(?: (\w+))?`")


def table():
    with open(os.path.join(HERE, "README.md"), encoding="utf-8") as f:
        return [m.groups() for m in map(ROW.match, f.read().splitlines()) if m]


def test_the_table_has_a_row_for_each_disaster():
    rows = [row[0] for row in table()]
    assert sorted(rows) == sorted(REFERENCES), set(rows) ^ set(REFERENCES)


def test_each_row_names_a_test_that_there_is_or_says_why_it_can_not_be():
    for reference, _, reason, tests in table():
        if tests.strip().startswith("none"):
            assert len(reason) > 40, f"{reference}: no test and no reason"
            continue
        named = TEST.findall(tests)
        assert named, f"{reference}: {tests}"
        for path, name in named:
            full = os.path.join(SOURCE, "tests", path)
            assert os.path.exists(full), f"{reference}: there is no tests/{path}"
            with open(full, encoding="utf-8") as f:
                text = f.read()
            assert not name or re.search(rf"(def |START_TEST\(){name}\b", text), \
                f"{reference}: no {name} in tests/{path}"


# A server that is away


def away():
    """A server that has gone, and its port."""
    pcd = Pcd()
    assert pcd.stop() == 0
    return pcd


def back(gone):
    return Pcd(gone.home, port=gone.port)


def agent(pcd, **options):
    return Pcc(pcd.url, COLLECTION=os.path.join(folder(), "taken.json"),
               **{"SPOOL_DIR": folder(), "BATCH_SIZE": "20", **options})


def assert_all_once(pcd, pcc, identifier="test-host"):
    """All that pcc took is in pcd's store, once, byte for byte."""
    with open(pcc.options["COLLECTION"], "rb") as f:
        taken = sorted(t for t in f.read().split(b"\n") if t)
    wait_for("all of it", lambda: pcd.stored(identifier).count(b"\n") >= len(taken), 60)
    assert sorted(t for t in pcd.stored(identifier).split(b"\n") if t) == taken


def test_a_reload_keeps_what_waits():
    """telegraf#2679: a reload threw the buffer away."""
    pcd = away()
    key = os.path.join(folder(), "key")
    with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(e2e.KEY + "\n")
    pcc = agent(pcd, key=None, APIKEY=None, APIKEY_FILE=key, FREQUENCY="50ms")
    for n in range(1, 5):
        wait_for("ticks", lambda: len(pcc.taken()) > 40 * n)
        pcc.process.send_signal(signal.SIGHUP)
    pcd = back(pcd)
    wait_for("deliveries", lambda: pcd.stored("test-host"), 90)
    pcd.process.send_signal(signal.SIGHUP)
    pcc.process.send_signal(signal.SIGHUP)
    assert pcc.stop() == 0, pcc.log
    assert_all_once(pcd, pcc)
    assert pcd.stop() == 0


def resident(program):
    with open(f"/proc/{program.process.pid}/status") as f:
        return next(int(t.split()[1]) for t in f if t.startswith("VmHWM:")) << 10


def test_an_outage_costs_no_more_memory_than_it_may():
    """collectd#913: a queue without a limit, gigabytes of it."""
    root = folder()
    os.makedirs(os.path.join(root, "proc"))
    for i in range(4):  # 4 MiB a second at this pace, none like the one before
        with open(os.path.join(root, "proc", f"big{i}"), "wb") as f:
            f.write(os.urandom(20000).hex().encode())
    pcd = away()
    pcc = Pcc(pcd.url, ROOT=root, SUBSYSTEMS=",".join(f"/proc/big{i}" for i in range(4)),
              FREQUENCY="40ms", QUEUE_MAX="1MiB", SPOOL="never", BATCH_SIZE="4")
    pcc.wait_line("event=batches_dropped", 60)
    before = resident(pcc)
    time.sleep(4)
    grown = resident(pcc) - before
    assert grown < (2 << 20) * (1 if PATIENCE == 1 else 100), grown
    # Libraries, the batches between its threads, one that is encoded.
    assert before < (96 << 20) or PATIENCE > 1, before
    pcc.stop()


def test_what_was_delivered_leaves_a_full_disk():
    """otel#7198: on a full disk nothing could be removed, for removing wrote."""
    pcd = away()
    spool = folder()
    shim = Shim(spool, program=e2e.PCC)
    pcc = agent(pcd, SPOOL_DIR=spool, SPOOL="always", FREQUENCY="50ms",
                environment=shim.environment)

    def kept():
        return [n for n in os.listdir(spool) if re.fullmatch(r"[0-9a-f.-]+(\.\w+)?", n)
                and len(content(os.path.join(spool, n))) > 500]

    wait_for("files", lambda: len(kept()) > 5)
    shim.rules("write * ENOSPC", "create * ENOSPC")
    full = set(kept())
    pcd = back(pcd)
    wait_for("their end", lambda: not full & set(kept()), 90)
    shim.rules()
    assert pcc.stop() == 0, pcc.log
    pcd.stop()


# What the kernel says


def test_numbers_that_go_back_are_stored_as_they_were_read():
    """node_exporter#1686, netdata#6077: steps back were taken for wraps or hidden."""
    root = folder()
    os.makedirs(os.path.join(root, "proc"))
    path = os.path.join(root, "proc", "stat")
    values = [0, 5, 4, 18446744073709551615, 0, 4294967295, 3, 2, 18446744073709551614, 1]

    def put(value):
        with open(path + ".new", "w") as f:
            f.write(f"cpu  {value} {value // 2} 7 {18446744073709551615 - value}\nintr {value}\n")
        os.rename(path + ".new", path)

    put(values[0])
    pcd = Pcd()
    pcc = agent(pcd, ROOT=root, SUBSYSTEMS="/proc/stat", FREQUENCY="40ms")
    for value in values[1:] * 3:
        put(value)
        before = len(pcc.taken())
        wait_for("a tick", lambda: len(pcc.taken()) > before)
    assert pcc.stop() == 0, pcc.log
    assert_all_once(pcd, pcc)
    stored = [json.loads(t) for t in pcd.stored("test-host").splitlines()]
    texts = [m["measurement"] for m in stored if m["subsystem"] == "/proc/stat"]
    assert {int(t.split()[1]) for t in texts} >= set(values), texts
    pcd.stop()


# What a crash leaves


def test_a_collection_that_a_power_cut_left_is_gone_on_with():
    """sysstat#275: a file cut short could be read no more."""
    path = os.path.join(folder(), "pcc.json")
    with open(path, "w") as f:
        f.write('{"timestamp":1,"subsystem":"s","measurement":"x"}\n{"timestamp":2,"subsy')
    pcc = Pcc(COLLECTION=path, FREQUENCY="50ms", SUBSYSTEMS="/proc/stat")
    wait_for("lines", lambda: os.path.getsize(path) > 5000)
    assert pcc.stop() == 0, pcc.log
    with open(path, "rb") as f:
        text = f.read()
    assert text.endswith(b"\n")
    good, bad = [], []
    for part in text.splitlines():
        try:
            good.append(json.loads(part))
        except ValueError:
            bad.append(part)
    assert bad == [b'{"timestamp":2,"subsy'] and len(good) > 2, bad


def store_with_a_log():
    """The home of a pcd that was killed, and what it had answered."""
    pcd = Pcd(CHECKPOINT_INTERVAL="1h")
    batches = [{"identifier": f"host-{i}", "measurements": measurements(3, 1767813011 + i)}
               for i in range(10)]
    for i, batch in enumerate(batches):
        assert pcd.post(batch, keyed(7, i + 1))[0] == 200
    for batch in batches:
        pcd.wait_stored(batch["identifier"], 3)
    pcd.kill()
    return pcd, batches


def test_a_log_shorter_than_is_said_elsewhere_costs_only_what_is_gone():
    """VictoriaMetrics#11192: a length elsewhere was longer, and the whole queue went."""
    for cut in (0, 1, 100, 0.5):
        pcd, batches = store_with_a_log()
        base = os.path.join(pcd.home, "log")
        last = os.path.join(base, sorted(os.listdir(base))[-1])
        size = os.path.getsize(last)
        os.truncate(last, int(size * cut) if cut == 0.5 else cut)
        pcd = Pcd(pcd.home)
        # All of it is in the day files; what is gone is the log's knowledge of the keys.
        for batch in batches:
            assert pcd.stored(batch["identifier"]) == lines(batch), (cut, batch)
        assert pcd.post({"identifier": "new", "measurements": measurements(1)})[0] == 200
        assert pcd.stop() == 0, pcd.log


def test_any_file_of_the_log_that_is_damaged_keeps_nobody_from_working():
    """fluent-bit#11847: corrupt chunks, and the process idles or does not start."""
    for n, damage in enumerate((b"\0" * 64, b"\xff" * 64, os.urandom(64))):
        pcd, batches = store_with_a_log()
        base = os.path.join(pcd.home, "log")
        for name in os.listdir(base):
            with open(os.path.join(base, name), "r+b") as f:
                f.seek(200 + 300 * n)
                f.write(damage)
        with open(os.path.join(base, "000000000099.log"), "wb") as f:
            f.write(damage * 10)
        pcd = Pcd(pcd.home)
        assert pcd.request("GET", "/readyz")[0] == 200
        for batch in batches:
            assert pcd.stored(batch["identifier"]).startswith(lines(batch)), batch
        assert pcd.post({"identifier": "new", "measurements": measurements(1)})[0] == 200
        assert pcd.stop() == 0, pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
