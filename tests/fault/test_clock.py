#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Clocks that jump, sleep, or start in 1970: ticks stay on their grid, stamps follow the
wall clock, and every tick is stored or told of as missing."""

import json
import os
import sys
import time

from clocks import DAY, HOUR, Clock
from e2e import PCD, Pcc, Pcd, folder, keyed, measurements, run, wait_for
from relay import Network

QUICK = {"FREQUENCY": "100ms", "SUBSYSTEMS": "/proc/uptime", "BATCH_SIZE": "5",
         "FLUSH_INTERVAL": "500ms"}
INTERVAL = 0.1


def start(pcd, clock, **options):
    collection = os.path.join(folder(), "taken.jsonl")
    return Pcc(pcd, environment=clock.environment,
               **{**QUICK, "COLLECTION": collection, **options})


def plain(lines):
    """Every tick's time and the uptime that it read; and every gap."""
    ticks, gaps = [], []
    for m in lines:
        when = m["timestamp"] + m.get("nanoseconds", 0) / 1e9
        if m["subsystem"] == "pcc/gap":
            gaps.append(json.loads(m["measurement"]))
        else:
            ticks.append((when, float(m["measurement"].split()[0])))
    return ticks, gaps


def stored(pcd):
    return [json.loads(line) for line in pcd.stored("test-host").splitlines()]


def wait_ticks(pcd, n):
    wait_for(f"{n} ticks", lambda: len(plain(stored(pcd))[0]) >= n, 30)


def canonical(lines):
    return sorted(json.dumps(m, sort_keys=True) for m in lines)


def end(pcc, pcd):
    """Ends pcc, which must have lost nothing. Return: all ticks by uptime, all gaps."""
    assert pcc.stop() == 0, pcc.log
    n = int(pcc.wait_line(r"event=stopped .*\bmeasurements=(\d+)").group(1))
    pcd.wait_stored("test-host", n)
    lines = stored(pcd)
    assert canonical(lines) == canonical(pcc.taken())
    assert len(lines) == n, (len(lines), n)
    ticks, gaps = plain(lines)
    return sorted(ticks, key=lambda tick: tick[1]), gaps


def missed(gaps):
    return sum(gap["ticks"] for gap in gaps)


def assert_on_the_grid(ticks, n_missed):
    """By the kernel's own clock every place on the grid was taken or told of. A tick may
    be late, as much as this machine is busy."""
    span = ticks[-1][1] - ticks[0][1]
    # The first tick is taken at once, half to one and a half intervals before the grid.
    places = len(ticks) - 1 + n_missed
    assert abs(span / INTERVAL - places) < 2.5, (span, len(ticks), n_missed)


def test_a_wall_clock_that_jumps_by_hours_moves_stamps_and_nothing_else():
    pcd = Pcd()
    clock = Clock()
    ahead = [0, 5 * HOUR, -9 * HOUR, 26 * HOUR, 0]
    pcc = start(pcd, clock)
    for i, wall in enumerate(ahead):
        clock.set(wall=wall)
        wait_ticks(pcd, 7 * (i + 1))
    ticks, gaps = end(pcc, pcd)
    assert_on_the_grid(ticks, missed(gaps))
    # By uptime and stamps: how far ahead the clock was, tick by tick.
    base = ticks[0][0] - ticks[0][1]
    found = [round((when - up - base) / HOUR) for when, up in ticks]
    steps = [n for i, n in enumerate(found) if i == 0 or n != found[i - 1]]
    assert steps == [wall // HOUR for wall in ahead], steps
    for (when, up), hours in zip(ticks, found):
        assert abs(when - up - base - hours * HOUR) < 5, (when, up)


def test_whole_seconds_after_a_jump_are_there_once_each():
    pcd = Pcd()
    clock = Clock()
    pcc = start(pcd, clock, FREQUENCY="1s", BATCH_SIZE="1", FLUSH_INTERVAL="1s")
    wait_ticks(pcd, 2)
    clock.set(wall=3 * HOUR + 0.45)
    wait_ticks(pcd, 6)
    ticks, gaps = end(pcc, pcd)
    after = [when for when, _ in ticks if when > ticks[0][0] + HOUR]
    if not gaps:
        assert after == [after[0] + i for i in range(len(after))], after
    assert len(set(after)) == len(after) >= 3


def test_a_suspend_is_one_gap_and_no_burst():
    pcd = Pcd()
    clock = Clock()
    pcc = start(pcd, clock)
    wait_ticks(pcd, 5)
    clock.set(wall=HOUR, boot=HOUR)
    wait_ticks(pcd, 20)
    ticks, gaps = end(pcc, pcd)
    asleep = [gap for gap in gaps if gap["ticks"] > 30000]
    assert len(asleep) == 1, gaps
    gap = asleep[0]
    assert gap["kind"] == "missed" and gap["measurements"] == gap["ticks"], gap
    assert HOUR / INTERVAL - 1 <= gap["ticks"] < HOUR / INTERVAL + 100, gap
    assert abs(gap["to"] - gap["from"] - HOUR) < 5, gap
    assert_on_the_grid(ticks, missed(gaps) - HOUR / INTERVAL)
    # It lies between the last tick before and the first one after.
    before = max(when for when, _ in ticks if when < ticks[0][0] + HOUR / 2)
    after = min(when for when, _ in ticks if when > ticks[0][0] + HOUR / 2)
    assert before <= gap["from"] < gap["to"] <= after, (before, gap, after)


def in_1970():
    return Clock(wall=100 - int(time.time()))


def assert_dated(ticks, begin, apart=1):
    """Stamps and the kernel's uptime tell the same, within what a busy machine is late,
    and how far apart a stamp and its tick may be (seconds)."""
    base = ticks[0][0] - ticks[0][1]
    for when, up in ticks:
        assert abs(when - up - base) < 1 + apart, (when, up, base)
        assert begin - apart <= when <= time.time() + apart, (when, begin)


def test_a_board_that_boots_in_1970_has_its_first_ticks_at_the_right_time():
    begin = time.time()
    pcd = Pcd()
    clock = in_1970()
    pcc = start(pcd, clock)
    pcc.wait_line("event=clock_not_set")
    time.sleep(2)  # some more ticks; how many doesn't matter
    assert not stored(pcd) and not pcc.taken()
    clock.set()
    pcc.wait_line("event=clock_set")
    wait_ticks(pcd, 30)
    ticks, gaps = end(pcc, pcd)
    assert_on_the_grid(ticks, missed(gaps))
    assert_dated(ticks, begin)


def test_whole_seconds_from_1970_are_there_once_each():
    begin = time.time()
    pcd = Pcd()
    clock = in_1970()
    pcc = start(pcd, clock, FREQUENCY="1s", BATCH_SIZE="1", FLUSH_INTERVAL="1s")
    pcc.wait_line("event=clock_not_set")
    time.sleep(2)
    clock.set()
    wait_ticks(pcd, 6)
    ticks, gaps = end(pcc, pcd)
    times = [when for when, _ in ticks]
    # The first tick is taken at once, the grid begins after it and moves once with the
    # clock: so two places may lie further apart.
    assert all(a < b and b % 1 == 0 for a, b in zip(times, times[1:])), times
    # One that is held gets the place of its grid's points in a second of the boot clock,
    # wherever in it that it was taken; the date it then has is cut to a full second.
    assert_dated(ticks, begin, apart=2)


def test_what_cannot_be_held_until_the_clock_is_set_is_a_gap_with_its_dates():
    begin = time.time()
    pcd = Pcd()
    clock = in_1970()
    pcc = start(pcd, clock, QUEUE_MAX="4KiB", COLLECTION="")
    pcc.wait_line("event=clock_not_set")
    time.sleep(2)
    clock.set()
    # Its loss travels with the first batch that begins after the step.
    wait_for("a gap", lambda: plain(stored(pcd))[1], 30)
    assert pcc.stop() == 0, pcc.log
    n = int(pcc.wait_line(r"event=stopped .*\bsent=(\d+)").group(1))
    pcd.wait_stored("test-host", n)
    ticks, gaps = plain(stored(pcd))
    ticks.sort(key=lambda tick: tick[1])
    # What then comes at once is too much for so small a queue, too.
    lost = [gap for gap in gaps if gap["kind"] == "dropped"]
    assert any("clock" in gap["reason"] for gap in lost), gaps
    for gap in lost:
        assert begin - 1 <= gap["from"] <= gap["to"] <= ticks[0][0], (gap, ticks[0])
    n = int(pcc.wait_line(r"event=stopped .*\bticks=(\d+)").group(1))
    assert len(ticks) + sum(gap["ticks"] for gap in lost) == n, (len(ticks), gaps, n)
    assert_dated(ticks, begin)


def test_a_clock_that_is_never_set_costs_what_the_server_could_not_take():
    pcd = Pcd()
    pcc = start(pcd, in_1970())
    pcc.wait_line("event=clock_not_set")
    time.sleep(1)
    assert pcc.stop() == 1, pcc.log
    lost = int(pcc.wait_line(r"event=measurements_lost .*measurements=(\d+)").group(1))
    ticks, _ = plain(pcc.taken())  # the collection has them, as the board saw it
    assert lost == len(ticks) > 0, (lost, len(ticks))
    assert not stored(pcd)


def test_local_mode_with_a_clock_that_is_never_set_keeps_everything():
    pcc = Pcc(environment=in_1970().environment, **QUICK)
    pcc.wait_line("event=clock_not_set")
    time.sleep(1)
    assert pcc.stop() == 0, pcc.log
    n = int(pcc.wait_line(r"event=stopped .*\bappended=(\d+)").group(1))
    assert len(pcc.taken()) == n > 5


def test_a_server_whose_clock_jumps_stores_all_once():
    clock = Clock(program=PCD)
    pcd = Pcd(environment=clock.environment)
    n = 0
    for wall in (0, 8 * HOUR, -8 * HOUR, 30 * HOUR, -30 * HOUR):
        clock.set(wall=wall)
        n += 1
        batch = {"identifier": "h", "measurements": measurements(1, start=1767813011 + n)}
        for replayed in (None, "true"):
            status, headers, _ = pcd.post(batch, keyed(1, n))
            assert status == 200 and headers["Idempotent-Replayed"] == replayed, wall
        status, headers, _ = pcd.post(batch, keyed(1, 1))
        assert status == 200 and headers["Idempotent-Replayed"] == "true", wall
    pcd.wait_stored("h", n)
    pcd.kill()
    pcd = Pcd(home=pcd.home, environment=clock.environment)
    for seq in range(1, n + 1):
        status, headers, _ = pcd.post(batch, keyed(1, seq))
        assert status == 200 and headers["Idempotent-Replayed"] == "true", seq
    assert pcd.stored("h").count(b"\n") == n
    assert pcd.stop() == 0, pcd.log


def spooled(pcc):
    return sum(name.endswith(".batch") for name in os.listdir(pcc.options["SPOOL_DIR"]))


def test_batches_that_are_sent_again_after_days_are_stored_once():
    """What pcd stored, but could not tell, waits in the agent's spool for 25 days: over 20 of
    them neither runs, and 5 of them pcd runs without the agent."""
    clock = Clock(program=PCD)
    days = {"environment": clock.environment, "CHECKPOINT_INTERVAL": "1s"}
    pcd = Pcd(**days)
    relay = Network().relay(pcd.port)
    agents_clock = Clock()
    pcc = start(relay, agents_clock, SPOOL="always", SPOOL_DIR=folder(), BATCH_SIZE="2")
    wait_ticks(pcd, 4)
    relay.suffer("mute")
    wait_for("batches that wait", lambda: spooled(pcc) >= 5, 30)
    assert pcc.stop() == 0, pcc.log
    relay.suffer("drop")
    n = int(pcc.wait_line(r"event=stopped .*\bsent=(\d+)").group(1))
    assert pcd.stop() == 0, pcd.log
    unanswered = len(stored(pcd)) - n
    assert unanswered > 0, (unanswered, pcc.log)

    for each in clock, agents_clock:
        each.set(wall=20 * DAY, boot=20 * DAY)
    pcd = Pcd(home=pcd.home, port=pcd.port, **days)
    for each in clock, agents_clock:
        each.set(wall=25 * DAY, boot=25 * DAY)
    before = pcd.metrics()["pcd_checkpoints_total"]
    assert pcd.post({"identifier": "other", "measurements": measurements(1)})[0] == 200
    wait_for("a checkpoint", lambda: pcd.metrics()["pcd_checkpoints_total"] > before)
    relay.suffer(None)
    again = Pcc(relay, environment=agents_clock.environment, **pcc.options)
    wait_for("an empty spool", lambda: spooled(again) == 0, 30)
    assert again.stop() == 0, again.log
    replayed = int(again.wait_line(r"event=stopped .*\breplayed=(\d+)").group(1))
    assert replayed == unanswered, (replayed, unanswered)
    assert pcd.stop() == 0, pcd.log
    lines = stored(pcd)
    assert canonical(lines) == canonical(again.taken())
    assert len({m["measurement"] for m in lines if m["subsystem"] != "pcc/gap"}) == \
        len(plain(lines)[0])


run(sys.modules[__name__])
