#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A fleet of hosts that all write: files held open stay below their limit, all is stored,
and a log that is full is recovered in a time that is bounded."""

import json
import os
import sys

from e2e import Pcd, Wire, folder, lines, run
from faults import Shim
from posts import batch

HOSTS = int(os.environ.get("PC_HOSTS", "10000"))
AT_ONCE = 100
FILES_MAX = 200


def request(pcd, b):
    body = json.dumps(b).encode()
    return (f"POST /v1/trickle HTTP/1.1\r\nHost: x\r\napikey: {pcd.key}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def post_all(pcd, wires, batches):
    """Posts batches, as many at a time as there are connections. Return: the codes."""
    codes = []
    for at in range(0, len(batches), len(wires)):
        part = batches[at:at + len(wires)]
        for wire, b in zip(wires, part):
            assert wire.send(request(pcd, b))
        codes += [wire.answer()[0] for wire, _ in zip(wires, part)]
    return codes


def open_day_files(pcd):
    base = f"/proc/{pcd.process.pid}/fd"
    n = 0
    for fd in os.listdir(base):
        try:
            n += os.readlink(os.path.join(base, fd)).endswith(".jsonl")
        except OSError:
            pass  # closed meanwhile
    return n


def test_ten_thousand_hosts_write_with_few_files_open():
    pcd = Pcd(FILES_MAX=FILES_MAX, CHECKPOINT_INTERVAL="2s")
    wires = [Wire(pcd, 60) for _ in range(AT_ONCE)]
    most, least = 0, 0
    for seq, n_hosts in (1, HOSTS), (2, HOSTS // 5):
        for at in range(0, n_hosts, 1000):
            some = [batch(f"host-{n}", seq, 1) for n in range(at, min(at + 1000, n_hosts))]
            codes = post_all(pcd, wires, some)
            assert set(codes) == {200}, set(codes)
            most = max(most, open_day_files(pcd))
    least = len(os.listdir(f"/proc/{pcd.process.pid}/fd"))
    print(f"# {HOSTS} hosts: at most {most} day files open, {least} descriptors in all")
    assert 0 < most <= FILES_MAX
    assert least <= FILES_MAX + AT_ONCE + 60
    assert pcd.metrics()["pcd_open_files"] <= FILES_MAX
    for wire in wires:
        wire.close()
    assert pcd.stop(seconds=120) == 0, pcd.log
    for n in range(HOSTS):
        expected = lines(batch(f"host-{n}", 1, 1))
        if n < HOSTS // 5:
            expected += lines(batch(f"host-{n}", 2, 1))
        assert pcd.stored(f"host-{n}") == expected, n


def test_a_full_log_is_recovered_at_the_next_start():
    """PC_LOG_MAX=1GiB gives the figure that the README has."""
    options = {"LOG_MAX": os.environ.get("PC_LOG_MAX", "16MiB"), "QUEUE_MAX": "1GiB"}
    home = folder()
    shim = Shim(home)
    shim.rules("any data/* EIO")  # nothing is filed, so that the log fills
    pcd = Pcd(home=home, environment=shim.environment, **options)
    wires = [Wire(pcd, 60) for _ in range(16)]
    answered, number = 0, 0
    codes = {200}
    while codes == {200}:
        some = [batch(f"host-{(number + i) % 1000}", number + i, 20, filler=4000)
                for i in range(len(wires))]
        number += len(wires)
        part = post_all(pcd, wires, some)
        answered += part.count(200)
        codes = set(part)
    assert codes <= {200, 503}, codes
    pcd.kill()
    pcd = Pcd(home=home, wait=False, **options)
    found = pcd.wait_line(r"event=store_open .*recovered_records=(\d+) recovered_bytes=(\d+)"
                          r" damaged_bytes=0 duration_ms=([0-9.]+)", 300)
    records, size, took = int(found.group(1)), int(found.group(2)), float(found.group(3))
    pcd.wait_line("event=listening")
    with open(f"/proc/{pcd.process.pid}/stat", encoding="ascii") as f:
        cpu = sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13])) / os.sysconf("SC_CLK_TCK")
    print(f"# {records} batches, {size / 2**20:.0f} MiB of log recovered in {took:.0f} ms, "
          f"with {cpu:.1f} s of CPU")
    assert records >= answered
    n_lines = sum(open(os.path.join(base, name), "rb").read().count(b"\n")
                  for base, _, names in os.walk(pcd.data) for name in names)
    assert n_lines == records * 20, (n_lines, records)
    assert pcd.stop(seconds=120) == 0, pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
