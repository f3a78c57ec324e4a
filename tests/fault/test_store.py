#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The rules of the store, each by a fault that makes it happen: a clear answer while it
lasts, no batch in part, none lost, none twice, and service again by itself.

What a power cut does is test_powercut.py's; damage inside the log is e2e/test_store.py's.
"""

import os
import sys
import threading

from e2e import Pcd, Skip, folder, keyed, lines, run, wait_for
from faults import Shim
from posts import NOON, SESSION, batch, replayed, stored

DAY = 86400
LONG = os.environ.get("PC_FAULT_LONG")
# Says nothing of a full disk, so that it is the calls that do.
MUCH_ROOM = "statvfs * free:%d" % (1 << 40)


def start(home=None, shim=None, **options):
    """A pcd below a shim."""
    home = home or folder()
    shim = shim or Shim(home)
    pcd = Pcd(home=home, environment=shim.environment, **options)
    pcd.shim = shim
    return pcd


def status(pcd, b, *key):
    return pcd.post(b, keyed(*key) if key else None)[0]


def is_ready(pcd):
    return pcd.request("GET", "/readyz")[0] == 200


def wait_taken(pcd, b, *key):
    """Sends a batch until it is taken: it is new then, or was stored in an attempt that
    failed to say so."""
    def taken():
        code, headers, _ = pcd.post(b, keyed(*key))
        return code == 200 and headers
    return wait_for("service again", taken, 20)


def assert_stored_once(home, batches, *key_of_each):
    """Starts a pcd without faults: each batch must be there once and nothing else, and
    each key be known."""
    pcd = Pcd(home=home)
    hosts = {}
    for b in batches:
        hosts.setdefault(b["identifier"], []).append(lines(b))
    for identifier, parts in hosts.items():
        text = pcd.stored(identifier)
        for part in parts:
            assert text.count(part) == 1, (identifier, part[:60], text.count(part))
        assert len(text) == sum(map(len, parts)), identifier
    for b, key in zip(batches, key_of_each):
        replayed(pcd, b, *key)
    assert pcd.stop() == 0, pcd.log


def keys(n):
    return [(SESSION, seq) for seq in range(1, n + 1)]


# The log

ANSWERS = {"ENOSPC": 507, "EDQUOT": 507, "EROFS": 507, "EIO": 503}


def test_a_write_or_sync_of_the_log_that_fails_once_refuses_its_group_and_a_new_log_goes_on():
    for call in "write", "sync":
        for error, code in ANSWERS.items():
            pcd = start()
            stored(pcd, batch("h", 1), SESSION, 1)
            pcd.shim.rules(MUCH_ROOM, f"{call} log/* {error} times 1")
            assert status(pcd, batch("h", 2), SESSION, 2) == code, (call, error)
            stored(pcd, batch("h", 2), SESSION, 2)
            stored(pcd, batch("h", 3), SESSION, 3)
            assert pcd.metrics()["pcd_sync_failures_total"] == 1
            pcd.kill()
            assert_stored_once(pcd.home, [batch("h", i) for i in (1, 2, 3)], *keys(3))


def test_without_room_for_a_log_batches_get_507_and_service_comes_back_by_itself():
    for error in "ENOSPC", "EDQUOT", "EROFS":
        pcd = start()
        stored(pcd, batch("h", 1), SESSION, 1)
        pcd.shim.rules(MUCH_ROOM, f"write log/* {error}", f"create log/* {error}")
        for _ in range(3):
            assert status(pcd, batch("h", 2), SESSION, 2) == 507, error
        assert not is_ready(pcd)
        replayed(pcd, batch("h", 1), SESSION, 1)  # what is there is there
        pcd.shim.rules()
        wait_taken(pcd, batch("h", 2), SESSION, 2)
        wait_for("readyz", lambda: is_ready(pcd))
        pcd.kill()
        assert_stored_once(pcd.home, [batch("h", 1), batch("h", 2)], *keys(2))


def test_a_log_that_can_be_neither_written_nor_begun_for_another_reason_needs_a_restart():
    pcd = start()
    stored(pcd, batch("h", 1), SESSION, 1)
    pcd.shim.rules("sync log/* EIO")
    assert status(pcd, batch("h", 2), SESSION, 2) == 503
    pcd.shim.rules()
    assert status(pcd, batch("h", 2), SESSION, 2) == 503
    assert not is_ready(pcd) and 'next="restart pcd"' in pcd.log
    assert pcd.request("GET", "/healthz")[0] == 200
    assert pcd.stop() == 0, pcd.log
    pcd = start(pcd.home)
    stored(pcd, batch("h", 2), SESSION, 2)
    assert pcd.stop() == 0, pcd.log
    assert_stored_once(pcd.home, [batch("h", 1), batch("h", 2)], *keys(2))


def test_a_disk_that_fills_in_mid_group_leaves_none_of_it():
    pcd = start(GATHER="200ms")
    stored(pcd, batch("h", 1), SESSION, 1)
    # Three batches of 20 KB in one group, of which one and a half fit.
    pcd.shim.rules(MUCH_ROOM, "write log/* short:30000 times 1", "write log/* ENOSPC times 1")
    group = [batch(f"g{i}", 1, filler=7000) for i in range(3)]
    codes = []
    threads = [threading.Thread(target=lambda b=b: codes.append(status(pcd, b, SESSION, 1)))
               for b in group]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Where they made two groups, after all, the first alone met the fault.
    assert codes.count(507) >= 1 and set(codes) <= {200, 507}, codes
    pcd.kill()
    pcd = Pcd(home=pcd.home)
    there = sum(pcd.stored(b["identifier"]) == lines(b) for b in group)
    assert there == codes.count(200), (there, codes)
    assert sum(len(pcd.stored(b["identifier"])) > 0 for b in group) == there
    assert pcd.stop() == 0, pcd.log


def test_short_writes_are_gone_on_with():
    pcd = start(CHECKPOINT_INTERVAL="1s")
    pcd.shim.rules("write * short:77")
    for seq in range(1, 6):
        stored(pcd, batch("h", seq), SESSION, seq)
    wait_for("a checkpoint", lambda: pcd.metrics()["pcd_checkpoints_total"] > 0)
    stored(pcd, batch("h", 6), SESSION, 6)
    pcd.kill()
    assert_stored_once(pcd.home, [batch("h", seq) for seq in range(1, 7)], *keys(6))


# The disk as a whole

def test_a_disk_that_fills_up_costs_nothing_that_was_answered():
    pcd = start(DISK_RESERVE="0", LOG_MAX="16MiB")
    size = 12 << 20
    pcd.shim.rules(f"disk {size}")
    sent = []
    for seq in range(1, 1000):
        b = batch("h", seq, filler=50000)
        code = status(pcd, b, SESSION, seq)
        if code == 507:
            break
        assert code == 200, code
        sent.append(b)
    assert len(sent) > 5, "there was room for some"
    next_one = batch("h", len(sent) + 1, filler=50000)
    pcd.shim.rules(f"disk {2 * size}")
    wait_taken(pcd, next_one, SESSION, len(sent) + 1)
    pcd.kill()
    sent.append(next_one)
    assert_stored_once(pcd.home, sent, *keys(len(sent)))


def test_a_disk_that_others_fill_to_the_brim_costs_nothing_that_was_answered():
    pcd = start()
    sent = [batch("h", seq) for seq in range(1, 6)]
    stored(pcd, sent[0], SESSION, 1)
    for seq in 2, 3, 4:
        stored(pcd, sent[seq - 1], SESSION, seq)
    pcd.shim.rules(MUCH_ROOM, "disk 0")  # no file grows by a byte any more
    assert status(pcd, sent[4], SESSION, 5) == 507
    wait_for("readyz to fail", lambda: not is_ready(pcd))
    pcd.shim.rules()
    wait_taken(pcd, sent[4], SESSION, 5)
    wait_for("readyz", lambda: is_ready(pcd))
    assert pcd.stop() == 0, pcd.log
    assert_stored_once(pcd.home, sent, *keys(5))


def test_a_remount_read_only_is_answered_507_until_it_is_writable_again():
    pcd = start()
    stored(pcd, batch("h", 1), SESSION, 1)
    pcd.shim.rules("statvfs * readonly", "any * EROFS")
    wait_for("507", lambda: status(pcd, batch("h", 2), SESSION, 2) == 507)
    pcd.shim.rules()
    wait_taken(pcd, batch("h", 2), SESSION, 2)
    assert pcd.stop() == 0, pcd.log
    assert_stored_once(pcd.home, [batch("h", 1), batch("h", 2)], *keys(2))


def test_a_slow_disk_makes_answers_slow_and_nothing_else():
    pcd = start()
    pcd.shim.rules("any * delay:300")
    for seq in range(1, 4):
        stored(pcd, batch("h", seq), SESSION, seq)
    pcd.kill()
    assert_stored_once(pcd.home, [batch("h", seq) for seq in (1, 2, 3)], *keys(3))


# Day files and keys

def test_a_day_file_that_fails_is_written_again_from_the_log():
    for rule in ("write data/h/* EIO", "sync data/h/* EIO", "create data/h/* EACCES",
                 "write data/h/* ENOSPC", "sync data/h EIO", "write data/h/* short:10"):
        pcd = start(CHECKPOINT_INTERVAL="1s")
        pcd.shim.rules(rule)
        sent = [batch("h", seq) for seq in range(1, 4)]
        for seq, b in enumerate(sent, 1):
            stored(pcd, b, SESSION, seq)
            stored(pcd, batch("other", seq))
        pcd.wait_stored("other", 9)
        if not rule.endswith("short:10"):
            wait_for("readyz to fail", lambda: not is_ready(pcd))
            assert pcd.metrics()["pcd_file_failures_total"] > 0, rule
        pcd.shim.rules()
        wait_for("the day file", lambda: pcd.stored("h") == b"".join(map(lines, sent)))
        wait_for("readyz", lambda: is_ready(pcd))
        wait_for("unfiled bytes", lambda: pcd.metrics()["pcd_unfiled_bytes"] == 0)
        pcd.kill()
        assert_stored_once(pcd.home, sent + [batch("other", seq) for seq in (1, 2, 3)], *keys(3))


def test_keys_that_cannot_be_replaced_leave_the_log_and_are_tried_again():
    for rule in ("create keys.new ENOSPC", "write keys.new EIO", "sync keys.new EIO",
                 "rename keys EDQUOT", "sync . EIO"):
        pcd = start(CHECKPOINT_INTERVAL="1s")
        pcd.shim.rules(rule)
        stored(pcd, batch("h", 1), SESSION, 1)
        wait_for("failures", lambda: pcd.metrics()["pcd_checkpoint_failures_total"] >= 2)
        stored(pcd, batch("h", 2), SESSION, 2)
        if rule.startswith("rename"):
            pcd.kill()  # in the midst of it
        else:
            pcd.shim.rules()
            wait_for("a checkpoint", lambda: pcd.metrics()["pcd_checkpoints_total"] >= 1)
            assert pcd.stop() == 0, pcd.log
        assert_stored_once(pcd.home, [batch("h", 1), batch("h", 2)], *keys(2))


# Starts

def crashed_home(n=3):
    """What a kill leaves, before anything reached a day file."""
    pcd = start()
    pcd.shim.rules("any data/* EIO")
    sent = [batch(host, seq) for host in ("a", "b") for seq in range(1, n + 1)]
    for b, key in zip(sent, 2 * keys(n)):
        stored(pcd, b, *key)
    pcd.kill()
    return pcd.home, sent, 2 * keys(n)


def test_a_start_on_a_full_disk_serves_what_it_has_and_files_it_once_there_is_room():
    home, sent, its_keys = crashed_home()
    shim = Shim(home)
    shim.rules("disk 0")
    pcd = start(home, shim)
    assert "recovery_unfinished" in pcd.log, pcd.log
    assert not is_ready(pcd)
    assert status(pcd, batch("a", 4), SESSION, 4) == 507
    shim.rules("disk 0", MUCH_ROOM)
    assert wait_for("another look at the room", lambda: status(pcd, sent[0], *its_keys[0]) == 200)
    replayed(pcd, sent[0], *its_keys[0])
    assert pcd.stored("a") == b""
    pcd.shim.rules()
    wait_taken(pcd, batch("a", 4), SESSION, 4)
    wait_for("readyz", lambda: is_ready(pcd))
    wait_for("the old log to go", lambda: pcd.metrics()["pcd_checkpoints_total"] > 0)
    assert pcd.stop() == 0, pcd.log
    assert_stored_once(home, sent + [batch("a", 4)], *its_keys, (SESSION, 4))


def test_a_start_on_a_full_disk_that_is_killed_loses_nothing():
    home, sent, its_keys = crashed_home()
    shim = Shim(home)
    shim.rules("disk 0")
    for _ in range(2):
        pcd = start(home, shim)
        assert status(pcd, batch("a", 4), SESSION, 4) == 507
        pcd.kill()
    assert_stored_once(home, sent, *its_keys)


def test_a_start_with_one_folder_that_cannot_be_written_serves_all_hosts():
    home, sent, its_keys = crashed_home()
    shim = Shim(home)
    shim.rules("any data/a* EACCES")
    pcd = start(home, shim, CHECKPOINT_INTERVAL="1s")
    assert not is_ready(pcd)
    pcd.wait_stored("b", 9)
    assert pcd.stored("a") == b""
    replayed(pcd, sent[0], *its_keys[0])
    stored(pcd, batch("b", 4), SESSION, 4)
    stored(pcd, batch("a", 4), SESSION, 4)  # durable in the log, filed later
    pcd.kill()  # once more, with two logs that are not filed
    pcd = start(home, shim, CHECKPOINT_INTERVAL="1s")
    replayed(pcd, batch("a", 4), SESSION, 4)
    stored(pcd, batch("a", 5), SESSION, 5)
    shim.rules()
    pcd.wait_stored("a", 15)
    wait_for("readyz", lambda: is_ready(pcd))
    assert pcd.stop() == 0, pcd.log
    assert_stored_once(home, sent + [batch("b", 4), batch("a", 4), batch("a", 5)], *its_keys,
                       (SESSION, 4), (SESSION, 4), (SESSION, 5))


def test_a_start_whose_keys_cannot_be_written_serves_and_tries_again():
    home, sent, its_keys = crashed_home()
    shim = Shim(home)
    shim.rules("rename keys EIO")
    pcd = start(home, shim)
    replayed(pcd, sent[0], *its_keys[0])
    stored(pcd, batch("a", 4), SESSION, 4)
    pcd.shim.rules()
    wait_for("a checkpoint", lambda: pcd.metrics()["pcd_checkpoints_total"] > 0)
    assert pcd.stop() == 0, pcd.log
    assert_stored_once(home, sent + [batch("a", 4)], *its_keys, (SESSION, 4))


# A crash between any two steps

def sweep(make, act, rule="kill", step=1):
    """Does something again and again, with a fault at its first step, its second, … until
    none is met. make() gives a home and what must be in it; act(home, shim) is done below
    the rule."""
    n = 0
    while True:
        home, sent, its_keys = make()
        shim = Shim(home)
        act(home, shim, f"any * {rule} after {n} times 1")
        assert_stored_once(home, sent, *its_keys)
        if not shim.hits():
            return n
        n += step


def test_a_crash_between_any_two_steps_of_a_checkpoint_loses_nothing():
    def make():
        pcd = start(CHECKPOINT_INTERVAL="1h")
        sent = [batch(host, 1) for host in ("a", "b")]
        for b in sent:
            stored(pcd, b, SESSION, 1)
        pcd.wait_stored("b", 3)
        make.pcd = pcd
        return pcd.home, sent, [(SESSION, 1)] * 2

    def act(home, shim, rule):
        pcd = make.pcd
        pcd.shim.rules(rule)
        pcd.stop()  # makes the checkpoint
        shim.hits = pcd.shim.hits

    steps = sweep(make, act)
    assert steps >= 8, steps  # two syncs of files, of folders, keys aside, a rename …


def test_a_crash_between_any_two_steps_of_a_start_loses_nothing():
    def act(home, shim, rule):
        shim.rules(rule)
        pcd = Pcd(home=home, environment=shim.environment, wait=False)
        wait_for("a start or an end", lambda: pcd.process.poll() is not None or
                 "event=listening" in pcd.log)
        pcd.stop()

    assert sweep(lambda: crashed_home(1), act) >= 10


def test_any_call_that_fails_once_loses_nothing_and_doubles_nothing():
    """In a life of a few batches and a checkpoint, whichever call it is that fails."""
    for number, error in enumerate(("ENOSPC", "EIO")):
        n = 0 if LONG else number  # the one here, the other there
        while True:
            pcd = start(CHECKPOINT_INTERVAL="1h")
            stored(pcd, batch("h", 1), SESSION, 1)
            pcd.shim.rules(MUCH_ROOM, f"any * {error} after {n} times 1")
            answered = [status(pcd, batch("h", seq), SESSION, seq) for seq in (2, 3)]
            assert set(answered) <= {200, 503, 507}, answered
            pcd.stop()
            hits = pcd.shim.hits()
            pcd = Pcd(home=pcd.home)
            for seq, code in zip((2, 3), answered):
                _, headers, _ = pcd.post(batch("h", seq), keyed(SESSION, seq))
                assert code != 200 or "Idempotent-Replayed" in headers, (n, hits, seq)
            assert pcd.stop() == 0, pcd.log
            assert_stored_once(pcd.home, [batch("h", seq) for seq in (1, 2, 3)], *keys(3))
            if not hits:
                break
            n += 1 if LONG else 2


# Time

def test_a_wall_clock_that_jumps_by_hours_or_years_loses_nothing_and_doubles_nothing():
    pcd = start(CHECKPOINT_INTERVAL="1s")
    seq = 0
    for offset in 0, 5 * 3600, -7 * 3600, 400 * DAY, -56 * 365 * DAY, 0:
        pcd.shim.rules(f"clock {offset}")
        seq += 1
        stored(pcd, batch("h", seq), SESSION, seq)
        replayed(pcd, batch("h", 1), SESSION, 1)
        before = pcd.metrics()["pcd_checkpoints_total"]
        wait_for("a checkpoint", lambda: pcd.metrics()["pcd_checkpoints_total"] > before)
    assert pcd.metrics()["pcd_keys_expired_total"] == 0
    pcd.kill()
    for offset in 400 * DAY, -400 * DAY:
        shim = Shim(pcd.home)
        shim.rules(f"clock {offset}")
        pcd = start(pcd.home, shim)
        for n in range(1, seq + 1):
            replayed(pcd, batch("h", n), SESSION, n)
        assert pcd.stop() == 0, pcd.log
    assert_stored_once(pcd.home, [batch("h", n) for n in range(1, seq + 1)], *keys(seq))


if __name__ == "__main__":
    run(sys.modules[__name__])
