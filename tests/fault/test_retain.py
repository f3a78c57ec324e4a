#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What PCD_RETAIN deletes, and above all what it doesn't, whatever clocks and disks do."""

import os
import sys
import time

from e2e import Pcd, content, folder, lines, run, wait_for
from faults import Shim
from posts import SESSION, batch, replayed, stored

DAY = 86400
TODAY = int(time.time()) // DAY
QUICK = {"CHECKPOINT_INTERVAL": "1s"}


def day_batch(host, days_ago, filler=0):
    return batch(host, 0, start=(TODAY - days_ago) * DAY + 100, filler=filler)


def path_of(home, host, days_ago):
    date = time.strftime("%Y-%m-%d", time.gmtime((TODAY - days_ago) * DAY))
    return os.path.join(home, "data", host, date + ".jsonl")


def days_of(home, host):
    """How many days ago each of a host's files is of, the oldest first."""
    return [n for n in range(1000, -1000, -1) if os.path.exists(path_of(home, host, n))]


def fill(home, hosts, days, filler=0):
    """Stores a batch for each host and day."""
    pcd = Pcd(home=home)
    for host in hosts:
        for n in days:
            stored(pcd, day_batch(host, n, filler))
    assert pcd.stop() == 0, pcd.log


def removed(pcd):
    return pcd.metrics()["pcd_retain_days_total"]


def let_look(pcd):
    """Lets some looks at the store go by; what would be deleted is, by then."""
    before = pcd.metrics()["pcd_checkpoints_total"]
    n = 0
    while pcd.metrics()["pcd_checkpoints_total"] < before + 4:
        n += 1
        stored(pcd, day_batch("ticking", 0))
        time.sleep(0.1)


def test_days_that_are_too_old_go_and_all_others_stay_as_they_are():
    home = folder()
    fill(home, ("a", "b"), (40, 32, 31, 30, 29, 1, 0))
    pcd = Pcd(home=home, RETAIN="30d", **QUICK)
    wait_for("three days to go", lambda: removed(pcd) == 3)
    let_look(pcd)
    assert removed(pcd) == 3
    assert pcd.metrics()["pcd_retain_files_total"] == 6
    assert pcd.log.count("event=day_removed") == 3
    for host in "a", "b":
        assert days_of(home, host) == [30, 29, 1, 0]
        assert pcd.stored(host) == b"".join(
            lines(day_batch(host, n)) for n in (30, 29, 1, 0))
    assert pcd.stop() == 0, pcd.log


def test_without_the_option_nothing_is_ever_deleted():
    home = folder()
    fill(home, ("a",), (900, 0))
    pcd = Pcd(home=home, **QUICK)
    let_look(pcd)
    assert pcd.stop() == 0, pcd.log
    assert days_of(home, "a") == [900, 0]


def test_the_oldest_days_go_where_there_are_too_many_bytes():
    home = folder()
    fill(home, ("a", "b"), range(5), filler=100000)  # 3 measurements a batch: 600 KB a day
    pcd = Pcd(home=home, RETAIN_BYTES="2000000", **QUICK)
    wait_for("two days to go", lambda: removed(pcd) == 2)
    let_look(pcd)
    assert days_of(home, "a") == days_of(home, "b") == [2, 1, 0]
    assert pcd.stop() == 0, pcd.log
    # Today and yesterday stay, however large.
    pcd = Pcd(home=home, RETAIN_BYTES="1MiB", **QUICK)
    wait_for("one more to go", lambda: removed(pcd) == 1)
    let_look(pcd)
    assert days_of(home, "a") == [1, 0]
    assert pcd.stop() == 0, pcd.log


def test_a_clock_that_jumps_ahead_deletes_nothing():
    home = folder()
    fill(home, ("a",), (20, 1, 0))
    shim = Shim(home)
    pcd = Pcd(home=home, environment=shim.environment, RETAIN="30d", **QUICK)
    let_look(pcd)
    shim.rules(f"clock {400 * DAY}")
    # An agent beside it lives in the same future.
    stored(pcd, day_batch("beside", -400))
    let_look(pcd)
    shim.rules()
    let_look(pcd)
    assert pcd.stop() == 0, pcd.log
    shim.rules(f"clock {500 * DAY}")
    pcd = Pcd(home=home, environment=shim.environment, RETAIN="30d", **QUICK)
    let_look(pcd)
    assert removed(pcd) == 0
    assert pcd.stop() == 0, pcd.log
    assert days_of(home, "a") == [20, 1, 0]


def test_a_client_that_lives_in_the_future_or_the_past_deletes_nothing_of_others():
    home = folder()
    fill(home, ("a",), (20, 1, 0))
    pcd = Pcd(home=home, RETAIN="30d", **QUICK)
    stored(pcd, day_batch("future", -900))
    let_look(pcd)
    stored(pcd, day_batch("past", 900))
    wait_for("the past to go", lambda: removed(pcd) == 1)
    assert not os.path.exists(os.path.join(home, "data", "past")), "an empty folder stays"
    assert pcd.stop() == 0, pcd.log
    assert days_of(home, "a") == [20, 1, 0]
    assert days_of(home, "future") == [-900]


def test_what_comes_late_for_a_day_that_went_begins_a_new_file():
    home = folder()
    fill(home, ("a",), (40, 0))
    pcd = Pcd(home=home, RETAIN="30d", **QUICK)
    for n in 1, 2:
        wait_for("the old day to go", lambda: removed(pcd) == n)
        late = batch("a", n, start=(TODAY - 40) * DAY + 100)
        stored(pcd, late, SESSION, n)
        replayed(pcd, late, SESSION, n)
        wait_for("the day file", lambda: content(path_of(home, "a", 40)) == lines(late))
    pcd.kill()
    pcd = Pcd(home=home)
    assert days_of(home, "a") in ([40, 0], [0])
    assert pcd.stop() == 0, pcd.log


def test_a_day_that_cannot_be_deleted_is_tried_again():
    for rule in "unlink data/a/* EIO", "sync data/a EIO", "open data/a EACCES":
        home = folder()
        fill(home, ("a", "b"), (40, 0))
        shim = Shim(home)
        shim.rules(rule)
        pcd = Pcd(home=home, environment=shim.environment, RETAIN="30d", **QUICK)
        wait_for("failures", lambda: pcd.metrics()["pcd_retain_failures_total"] >= 2)
        shim.rules()
        wait_for("the day to go", lambda: removed(pcd) == 1)
        assert pcd.stop() == 0, pcd.log
        assert days_of(home, "a") == days_of(home, "b") == [0]


def test_a_crash_in_the_midst_of_a_removal_leaves_whole_files():
    n = 0
    while True:
        home = folder()
        fill(home, ("a", "b"), (40, 0))
        shim = Shim(home)
        shim.rules(f"unlink data/* kill after {n}", f"sync data/? kill after {n}")
        pcd = Pcd(home=home, environment=shim.environment, RETAIN="30d", **QUICK)
        wait_for("a removal or an end", lambda: pcd.process.poll() is not None or
                 removed_or_gone(pcd))
        pcd.stop()
        pcd = Pcd(home=home)
        for host in "a", "b":
            assert days_of(home, host) in ([40, 0], [0]), (n, days_of(home, host))
            stored(pcd, batch(host, 1, start=(TODAY - 40) * DAY))
        assert pcd.stop() == 0, pcd.log
        for host in "a", "b":
            parts = [lines(day_batch(host, 40)), lines(batch(host, 1, start=(TODAY - 40) * DAY)),
                     lines(day_batch(host, 0))]
            assert pcd.stored(host) in (b"".join(parts), b"".join(parts[1:])), (n, host)
        if not shim.hits():
            break
        n += 1
    assert n >= 2


def removed_or_gone(pcd):
    try:
        return removed(pcd) > 0
    except OSError:
        return False


if __name__ == "__main__":
    run(sys.modules[__name__])
