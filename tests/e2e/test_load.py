#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcd stays up and correct under many clients at once.

PC_LOAD_SECONDS says for how long (10; 30 in a sanitizer build).
"""

import json
import os
import signal
import subprocess
import sys
import time

from e2e import KEY, LOAD, PATIENCE, Pcd, clean_environment, folder, line, run

SECONDS = int(os.environ.get("PC_LOAD_SECONDS") or (30 if PATIENCE > 1 else 10))


def begin(pcd, seconds, *argv):
    """Starts the generator."""
    return subprocess.Popen(
        [LOAD, "--server", pcd.url, "--key", KEY, "--seconds", str(seconds), *argv],
        env={k: v for k, v in clean_environment().items() if not k.startswith("PC_LOAD_")},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(pcd, process, seconds):
    """Waits for it; all it does must succeed."""
    try:
        out, err = process.communicate("\n", timeout=(seconds + 120) * PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    print("# " + out.replace("\n", "\n# "), flush=True)
    assert process.returncode == 0, f"{out}{err}\n{pcd.log}"
    return out


def load(pcd, seconds, *argv):
    """Runs the generator with a check of the store."""
    return end(pcd, begin(pcd, seconds, "--check", pcd.home, *argv), seconds)


def replay(pcd, path, seconds, *argv):
    """Replays a collection; returns the summary."""
    out = end(pcd, begin(pcd, seconds, "--replay", path, "--json", *argv), seconds)
    return json.loads(out.splitlines()[-1])


def collection(ticks):
    """A file of so many ticks of two measurements, one a tick later; and those."""
    all_ticks = [[{"timestamp": 1767813011 + 5 * i, "subsystem": "/proc/stat",
                   "measurement": f"cpu  {1000 + 7 * i} {i * i} 0 {i}\ncpu0 {i} 0 0 0\n"},
                  {"timestamp": 1767813011 + 5 * i, "subsystem": "/proc/loadavg",
                   "measurement": f"0.{i:02} 0.00 0.00 1/{i} {i}\n"}]
                 for i in range(ticks)]
    path = os.path.join(folder(), "collection.jsonl")
    with open(path, "wb") as f:
        f.write(b"".join(line(m) for tick in all_ticks for m in tick))
    return path, all_ticks


def texts(tick):
    return [(m["subsystem"], m["measurement"]) for m in tick]


def is_replay(lines, ticks):
    """Are these the ticks one after the other from anywhere, a second apart?"""
    got = [json.loads(text) for text in lines.splitlines()]
    first = [texts(t) for t in ticks].index(texts(got[:2]))
    times = [m["timestamp"] for m in got]
    return (times == [times[0] + i // 2 for i in range(len(times))]
            and texts(got) == [text for i in range(len(got) // 2)
                               for text in texts(ticks[(first + i) % len(ticks)])])


def test_200_clients_at_once_lose_nothing():
    pcd = Pcd()
    # Small batches: many, and the log's limit stays out of it.
    load(pcd, SECONDS, "--clients", "200", "--measurements", "1")
    metrics = pcd.metrics()
    assert metrics["pcd_connections_accepted_total"] >= 200
    assert metrics["pcd_hosts"] == 200
    assert pcd.stop() == 0, pcd.log


def test_every_form_under_load():
    pcd = Pcd()
    for number, (form, gzip) in enumerate((("json", "yes"), ("json", "no"),
                                           ("msgpack", "yes"), ("msgpack", "no"),
                                           ("delta", "yes"), ("delta", "no"))):
        load(pcd, 20, "--clients", "20", "--batches", "25", "--form", form,
             f"--gzip={gzip}", "--prefix", f"form-{number}")
    assert pcd.stop() == 0, pcd.log


def test_what_is_replayed_is_stored():
    path, ticks = collection(37)
    pcd = Pcd()
    for number, (form, gzip) in enumerate((("json", "yes"), ("json", "no"),
                                           ("msgpack", "yes"), ("delta", "yes"),
                                           ("delta", "no"))):
        prefix = f"replay-{number}"
        got = replay(pcd, path, 60, "--form", form, f"--gzip={gzip}", "--prefix", prefix,
                     "--clients", "7", "--connections", "3", "--batches", "9",
                     "--ticks", "4", "--places", "5", "--tape", "64", "--warmup", "2")
        assert got["stored"] == 7 * 9 and got["ticks"] == 7 * 9 * 4, got
        stored = [pcd.wait_stored(f"{prefix}-{i:05}", 11 * 4 * 2) for i in range(1, 8)]
        assert all(is_replay(lines, ticks) for lines in stored)
        assert len(set(stored)) == 5, "each of 5 places its own"
    assert pcd.stop() == 0, pcd.log


def test_a_chain_that_has_ended_begins_again():
    path, _ = collection(10)
    pcd = Pcd()
    got = replay(pcd, path, 60, "--form", "delta", "--clients", "3", "--batches", "20",
                 "--ticks", "2", "--tape", "4")
    assert got["stored"] == 60, got
    assert pcd.metrics()["pcd_delta_conflicts_total"] == 0
    assert pcd.stop() == 0, pcd.log


def test_a_host_can_have_many_cpus():
    path, _ = collection(4)
    pcd = Pcd()
    replay(pcd, path, 60, "--form", "delta", "--clients", "1", "--batches", "1",
           "--ticks", "1", "--cpus", "64", "--prefix", "wide")
    stat = json.loads(pcd.wait_stored("wide-00001", 2).splitlines()[0])["measurement"]
    rows = [[int(n) for n in row.split()[1:]] for row in stat.splitlines()]
    assert [row.split()[0] for row in stat.splitlines()] == [
        "cpu", *(f"cpu{i}" for i in range(64))], stat
    assert rows[0] == [sum(column) for column in zip(*rows[1:])], stat
    assert pcd.stop() == 0, pcd.log


def test_each_batch_may_have_a_connection_of_its_own():
    path, _ = collection(5)
    pcd = Pcd()
    got = replay(pcd, path, 60, "--clients", "4", "--batches", "10", "--new-connections")
    assert got["connections"] == 40, got
    assert got["dropped"] == 0, got
    assert pcd.stop() == 0, pcd.log


def test_who_had_to_wait_for_a_server_that_stalled_is_counted():
    # A hundred batches a second; none is answered for a second. With closed eyes the two
    # that were on their way would be all, of some 300.
    path, _ = collection(5)
    pcd = Pcd()
    process = begin(pcd, 3, "--replay", path, "--json", "--clients", "10",
                    "--connections", "2", "--rate", "100", "--jitter", "50",
                    "--warmup", "1", "--ticks", "1")
    assert process.stdout.readline() == "warm\n"
    process.stdin.write("\n")
    process.stdin.flush()
    time.sleep(1)
    pcd.process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    pcd.process.send_signal(signal.SIGCONT)
    got = json.loads(end(pcd, process, 3))
    assert got["stored"] + got["unsent"] >= 290, got
    assert got["p90_ms"] > 300, got
    assert pcd.stop() == 0, pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
