#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What pcd has answered with 200 is there, once, whatever happens to the process or to the
files it left behind."""

import json
import os
import shutil
import signal
import struct
import sys

from e2e import KEY, Pcd, Wire, folder, keyed, lines, measurements, run, wait_for
from posts import NOON, SESSION, batch, replayed, stored

MIDNIGHT = 1767830400  # 2026-01-08T00:00:00Z
LOG_HEADER_BYTES = 88
LOG_BEGIN, LOG_PADDING = 2, 3


def begin_post(pcd, b, *key, n_bytes=None):
    """Sends a batch, or the first bytes of it, and waits for nothing."""
    wire = Wire(pcd)
    body = json.dumps(b).encode()
    fields = {"Host": "x", "apikey": pcd.key, "Content-Length": len(body),
              **(keyed(*key) if key else {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    wire.send(f"POST /v1/trickle HTTP/1.1\r\n{head}\r\n".encode() + body[:n_bytes])
    wire.rest = body[n_bytes:] if n_bytes is not None else b""
    return wire


def everything(pcd):
    """All day files, by their path."""
    found = {}
    for path, _, names in os.walk(pcd.data):
        for name in names:
            with open(os.path.join(path, name), "rb") as f:
                found[os.path.relpath(os.path.join(path, name), pcd.data)] = f.read()
    return found


def logs(home):
    """The paths of the logs, oldest first, those set aside left out."""
    path = os.path.join(home, "log")
    return [os.path.join(path, n) for n in sorted(os.listdir(path)) if n.endswith(".log")]


def records(path):
    """The whole records of a log but its padding, as (offset, end, bytes of the lines)."""
    with open(path, "rb") as f:
        data = f.read()
    at, found = 0, []
    while at < len(data):
        kind, _, identifier_n = struct.unpack_from("<BBH", data, at + 24)
        lines_n = struct.unpack_from("<Q", data, at + 48)[0] if kind != LOG_BEGIN else 0
        end = at + LOG_HEADER_BYTES + identifier_n + lines_n
        assert end <= len(data), (path, at)
        if kind != LOG_PADDING:
            found.append((at, end, data[end - lines_n:end]))
        at = end
    return found


def lose_day_files(home):
    """What a power cut may do to files that were not synced."""
    shutil.rmtree(os.path.join(home, "data"))
    os.mkdir(os.path.join(home, "data"), 0o700)


# Restarts


def test_restarts_keep_everything_and_replays_add_nothing():
    hosts = [f"host-{i}" for i in range(5)]
    sent = [(b, SESSION + i, seq) for i, host in enumerate(hosts) for seq in range(1, 11)
            for b in [batch(host, seq, start=MIDNIGHT - 50)]]
    pcd = Pcd()
    for b, *key in sent:
        stored(pcd, b, *key)
    assert pcd.stop() == 0, pcd.log
    before = everything(pcd)
    assert len(before) == 2 * len(hosts)
    for host in hosts:
        assert pcd.stored(host) == b"".join(
            lines(b) for b, *_ in sent if b["identifier"] == host)

    # Twice: after a restart in peace, and after one that had to recover.
    for how in ("stop", "kill"):
        pcd = Pcd(home=pcd.home)
        for b, *key in sent:
            replayed(pcd, b, *key)
        stored(pcd, batch("more", 1), SESSION, 1 if how == "stop" else 2)
        if how == "stop":
            assert pcd.stop() == 0, pcd.log
        else:
            pcd.kill()
    pcd = Pcd(home=pcd.home)
    for b, *key in sent:
        replayed(pcd, b, *key)
    replayed(pcd, batch("more", 1), SESSION, 2)
    assert pcd.stop() == 0, pcd.log
    after = everything(pcd)
    assert after.pop("more/2026-01-07.jsonl") == lines(batch("more", 1)) * 2
    assert after == before


def test_what_was_answered_survives_the_loss_of_what_was_not_synced():
    # Only the log is synced before an answer, so only that is left after a power cut.
    pcd = Pcd()
    sent = [batch(f"host-{seq % 3}", seq) for seq in range(1, 31)]
    for seq, b in enumerate(sent, 1):
        stored(pcd, b, SESSION, seq)
    pcd.kill()
    lose_day_files(pcd.home)
    pcd = Pcd(home=pcd.home)
    for seq, b in enumerate(sent, 1):
        replayed(pcd, b, SESSION, seq)
    assert pcd.stop() == 0, pcd.log
    for i in range(3):
        assert pcd.stored(f"host-{i}") == b"".join(
            lines(b) for b in sent if b["identifier"] == f"host-{i}")


def test_a_batch_goes_to_the_day_of_its_first_measurement():
    pcd = Pcd()
    over = {"identifier": "host", "measurements": measurements(4, MIDNIGHT - 2)}
    late = {"identifier": "host", "measurements": measurements(1, MIDNIGHT - 100)}
    day = {"identifier": "host", "measurements": measurements(1, MIDNIGHT)}
    for b in (over, day, late):
        stored(pcd, b)
    assert pcd.stop() == 0, pcd.log
    assert everything(pcd) == {
        # In the order they came, not in that of time.
        "host/2026-01-07.jsonl": lines(over) + lines(late),
        "host/2026-01-08.jsonl": lines(day),
    }


def test_more_hosts_than_files_that_may_be_open():
    pcd = Pcd(FILES_MAX="2", CHECKPOINT_INTERVAL="1s")
    for seq in (1, 2, 3):
        for host in range(30):
            stored(pcd, batch(f"host-{host}", seq))
        pcd.wait_stored("host-29", 3 * seq)
        assert pcd.metrics()["pcd_open_files"] <= 2
    assert pcd.stop() == 0, pcd.log
    for host in range(30):
        assert pcd.stored(f"host-{host}") == b"".join(
            lines(batch(f"host-{host}", seq)) for seq in (1, 2, 3))


def test_only_one_pcd_has_a_home():
    first = Pcd()
    stored(first, batch("host", 1))
    second = Pcd(home=first.home, wait=False)
    assert second.wait() == 1, second.log
    assert first.home in second.log and "another pcd" in second.log, second.log
    stored(first, batch("host", 2))
    # One that was killed leaves no lock.
    first.kill()
    third = Pcd(home=first.home)
    assert third.stop() == 0, third.log
    assert third.stored("host") == lines(batch("host", 1)) + lines(batch("host", 2))


def test_a_damaged_checkpoint_stops_the_start_and_is_left_alone():
    pcd = Pcd()
    stored(pcd, batch("host", 1), SESSION, 1)
    assert pcd.stop() == 0, pcd.log
    keys = os.path.join(pcd.home, "keys")
    with open(keys, "r+b") as f:
        f.seek(20)
        byte = f.read(1)[0]
        f.seek(20)
        f.write(bytes([byte ^ 1]))
    again = Pcd(home=pcd.home, wait=False)
    assert again.wait() == 1, again.log
    assert "keys" in again.log, again.log
    assert "listening" not in again.log
    with open(keys, "r+b") as f:
        f.seek(20)
        assert f.read(1)[0] == byte ^ 1
        f.seek(20)
        f.write(bytes([byte]))
    pcd = Pcd(home=pcd.home)
    replayed(pcd, batch("host", 1), SESSION, 1)
    assert pcd.stop() == 0, pcd.log


# Once and only once


def test_holes_are_filled_and_what_is_below_the_floor_counts_as_stored():
    pcd = Pcd()
    for seq in (1, 2, 5, 9):
        stored(pcd, batch("host", seq), SESSION, seq)
    # In any order; only what was stored is a replay.
    stored(pcd, batch("host", 7), SESSION, 7)
    replayed(pcd, batch("host", 5), SESSION, 5)
    stored(pcd, batch("host", 4), SESSION, 4)
    # From here on nothing below 6 will be sent again, so 3 counts as stored.
    stored(pcd, batch("host", 6), SESSION, 6, 6)
    replayed(pcd, batch("host", 3), SESSION, 3)
    stored(pcd, batch("host", 8), SESSION, 8)
    # A lower floor takes nothing back.
    stored(pcd, batch("host", 10), SESSION, 10, 2)
    replayed(pcd, batch("host", 3), SESSION, 3)
    # Other sessions and hosts are others.
    stored(pcd, batch("host", 3), SESSION + 1, 3)
    stored(pcd, batch("other", 3), SESSION, 3)
    order = (1, 2, 5, 9, 7, 4, 6, 8, 10, 3)
    for restart in ("kill", "stop"):
        if restart == "kill":
            pcd.kill()
        else:
            assert pcd.stop() == 0, pcd.log
        pcd = Pcd(home=pcd.home)
        for seq in range(1, 11):
            replayed(pcd, batch("host", seq), SESSION, seq)
        replayed(pcd, batch("host", 3), SESSION + 1, 3)
        replayed(pcd, batch("other", 3), SESSION, 3)
    stored(pcd, batch("host", 11), SESSION, 11)
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == b"".join(lines(batch("host", seq)) for seq in (*order, 11))


def test_the_holes_of_a_session_are_bounded_and_a_floor_closes_them():
    pcd = Pcd()
    connection = pcd.connect()
    for seq in range(2, 2 * 1024 + 1, 2):
        stored(pcd, batch("host", seq, n=1), SESSION, seq, connection=connection)
    # Every second one is a hole. One more range is refused, what closes a hole is not.
    status, headers, answer = pcd.post(batch("host", 2050), keyed(SESSION, 2050), connection)
    assert status == 429 and b"Idempotency-Floor" in answer, (status, answer)
    assert 1 <= int(headers["Retry-After"]) <= 600
    stored(pcd, batch("host", 2049, n=1), SESSION, 2049, connection=connection)
    stored(pcd, batch("host", 1001, n=1), SESSION, 1001, connection=connection)
    stored(pcd, batch("other", 1), SESSION + 1, 5000)
    pcd.kill()
    pcd = Pcd(home=pcd.home)
    stored(pcd, batch("host", 3000, n=1), SESSION, 3000)
    status, _, _ = pcd.post(batch("host", 4000), keyed(SESSION, 4000))
    assert status == 429
    stored(pcd, batch("host", 4000, n=1), SESSION, 4000, 2001)
    replayed(pcd, batch("host", 1), SESSION, 1)
    stored(pcd, batch("host", 2001, n=1), SESSION, 2001)
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host").count(b"\n") == 1024 + 5


def test_two_live_sessions_under_one_identifier_are_counted_and_logged():
    pcd = Pcd()
    stored(pcd, batch("host", 1), SESSION, 1)
    # A client that starts anew has a new session; what the old one left comes late.
    stored(pcd, batch("host", 100), SESSION + 1, 1)
    stored(pcd, batch("host", 2), SESSION, 2)
    assert pcd.metrics()["pcd_two_sessions_total"] == 0
    # But what was taken after the new one began was taken by somebody who still lives.
    stored(pcd, batch("host", 101), SESSION, 3)
    assert pcd.metrics()["pcd_two_sessions_total"] == 1
    pcd.wait_line("event=two_sessions.*host")
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host").count(b"\n") == 4 * 3


def test_a_batch_without_a_key_is_taken_as_it_comes():
    pcd = Pcd()
    for _ in range(3):
        stored(pcd, batch("host", 1))
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == lines(batch("host", 1)) * 3


def test_a_key_in_progress_makes_the_second_request_wait():
    # Gathering keeps the first in progress while the others come.
    pcd = Pcd(GATHER="1s")
    for seq in (1, 2):
        wires = [begin_post(pcd, batch("host", seq), SESSION, seq) for _ in range(16)]
        answers = [wire.answer() for wire in wires]
        assert [status for status, *_ in answers] == [200] * 16
        assert sum("Idempotent-Replayed" in headers for _, headers, _ in answers) == 15
        assert sum("Measurements-Stored" in headers for _, headers, _ in answers) == 1
    assert pcd.metrics()["pcd_pending_waits_total"] > 0
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == lines(batch("host", 1)) + lines(batch("host", 2))


def test_a_slow_body_is_a_replay_where_a_faster_one_came_first():
    pcd = Pcd()
    slow = begin_post(pcd, batch("host", 1), SESSION, 1, n_bytes=20)
    stored(pcd, batch("host", 1), SESSION, 1)
    slow.send(slow.rest)
    status, headers, _ = slow.answer()
    assert status == 200 and headers["Idempotent-Replayed"] == "true", headers.items()
    slow.close()
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == lines(batch("host", 1))


def test_a_refused_batch_leaves_its_key_free():
    pcd = Pcd()
    status, _, _ = pcd.post(b'{"identifier":"host"}', keyed(SESSION, 1))
    assert status == 400
    status, _, _ = pcd.post({"identifier": "host", "measurements": measurements(1, 5)},
                            keyed(SESSION, 1))
    assert status == 400
    stored(pcd, batch("host", 1), SESSION, 1)
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == lines(batch("host", 1))


# Stopping, syncing, gathering


def test_sigterm_finishes_what_is_in_flight():
    pcd = Pcd(GATHER="1s")
    queued = [begin_post(pcd, batch(f"queued-{i}", 1)) for i in range(8)]
    arriving = begin_post(pcd, batch("arriving", 1), n_bytes=20)
    wait_for("the batches in the queue",
             lambda: pcd.metrics()["pcd_queue_jobs"] == len(queued))
    pcd.process.send_signal(signal.SIGTERM)
    pcd.wait_line("event=stopping")
    arriving.send(arriving.rest)
    for wire in queued:
        answer = wire.answer()
        assert answer and answer[0] == 200, answer
        assert answer[1]["Measurements-Stored"] == "3"
    # One whose body was on its way, too.
    answer = arriving.answer()
    assert answer and answer[0] == 200, answer
    assert pcd.wait() == 0, pcd.log
    for i in range(len(queued)):
        assert pcd.stored(f"queued-{i}") == lines(batch(f"queued-{i}", 1))
    assert pcd.stored("arriving") == lines(batch("arriving", 1))
    # The last checkpoint has it all: nothing is left to recover.
    pcd = Pcd(home=pcd.home)
    assert pcd.metrics()["pcd_recovery_records"] == 0
    assert pcd.stop() == 0, pcd.log


def test_sigterm_with_nothing_to_do_and_sigint_too():
    for number in (signal.SIGTERM, signal.SIGINT):
        pcd = Pcd()
        assert pcd.stop(number) == 0, pcd.log


def test_batches_that_come_together_share_a_sync():
    pcd = Pcd(GATHER="1s")
    before = pcd.metrics()
    wires = [begin_post(pcd, batch(f"host-{i}", 1)) for i in range(20)]
    wait_for("all in the queue", lambda: pcd.metrics()["pcd_queue_jobs"] == len(wires))
    for wire in wires:
        assert wire.answer()[0] == 200
    after = pcd.metrics()
    assert after["pcd_batches_total"] - before["pcd_batches_total"] == 20
    # One more than there need be, should one have been late.
    assert after["pcd_syncs_total"] - before["pcd_syncs_total"] <= 2, after
    assert pcd.stop() == 0, pcd.log
    for i in range(20):
        assert pcd.stored(f"host-{i}") == lines(batch(f"host-{i}", 1))


def test_sync_interval_answers_before_the_sync_and_loses_nothing_to_a_kill():
    pcd = Pcd(SYNC="interval")
    sent = [batch("host", seq) for seq in range(1, 101)]
    connection = pcd.connect()
    for b in sent:
        stored(pcd, b, connection=connection)
    assert pcd.metrics()["pcd_syncs_total"] < 100
    pcd.kill()
    pcd = Pcd(home=pcd.home, SYNC="interval")
    pcd.wait_stored("host", 300)
    stored(pcd, batch("host", 101))
    # Filed once synced, a second later, without anybody asking.
    pcd.wait_stored("host", 303)
    stored(pcd, batch("host", 102))
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == b"".join(
        lines(b) for b in (*sent, batch("host", 101), batch("host", 102)))


# The log


def test_the_log_rolls_and_checkpoints_delete_what_is_filed():
    pcd = Pcd(LOG_MAX="16MiB", CHECKPOINT_INTERVAL="1h")
    connection = pcd.connect()
    sent = [batch("host", seq, n=10, filler=20000) for seq in range(1, 101)]
    most = 0
    for seq, b in enumerate(sent, 1):
        # Where the disk is slow the limit is reached first, and room made a little later.
        wait_for("room", lambda: pcd.post(b, keyed(SESSION, seq), connection)[0] == 200)
        most = max(most, len(logs(pcd.home)))
        # A file of log may pass its size by a group, all of them never the limit.
        assert sum(os.path.getsize(path) for path in logs(pcd.home)) < 17 << 20
    assert most >= 3, most
    # About 20 MB went through; from half of the limit on a checkpoint let the old ones go.
    metrics = pcd.metrics()
    assert metrics["pcd_checkpoints_total"] >= 1, metrics
    assert "000000000001.log" not in os.listdir(os.path.join(pcd.home, "log"))
    pcd.kill()
    pcd = Pcd(home=pcd.home, LOG_MAX="16MiB")
    for seq, b in enumerate(sent, 1):
        replayed(pcd, b, SESSION, seq)
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == b"".join(lines(b) for b in sent)
    assert len(logs(pcd.home)) == 1


def test_a_checkpoint_comes_after_a_while_by_itself():
    pcd = Pcd(CHECKPOINT_INTERVAL="1s")
    stored(pcd, batch("host", 1), SESSION, 1)
    wait_for("a checkpoint", lambda: pcd.metrics()["pcd_checkpoints_total"] >= 1)
    pcd.kill()
    pcd = Pcd(home=pcd.home)
    assert pcd.metrics()["pcd_recovery_records"] == 0
    replayed(pcd, batch("host", 1), SESSION, 1)
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == lines(batch("host", 1))


def test_a_torn_tail_of_the_log_costs_nothing_that_was_synced():
    pcd = Pcd()
    sent = [batch("host", seq) for seq in range(1, 6)]
    for seq, b in enumerate(sent, 1):
        stored(pcd, b, SESSION, seq)
    pcd.kill()
    lose_day_files(pcd.home)
    [path] = logs(pcd.home)
    found = records(path)
    assert [r[2] for r in found] == [b"", *map(lines, sent)]
    start, end, _ = found[-1]
    cuts = [(at, b"") for at in (start, start + 1, start + 3, start + 40, start + 87,
                                 start + LOG_HEADER_BYTES + 2, start + LOG_HEADER_BYTES + 4,
                                 end - 1)]
    # The file's size came to the disk, its bytes did not; or others did.
    cuts += [(start, b"\0" * 5000), (start + 50, b"\0" * (end - start - 50)),
             (end - 10, b"\0" * 10), (start, b"\xff" * 300), (end - 1, b"?")]
    for at, tail in cuts:
        home = os.path.join(folder(), "home")
        shutil.copytree(pcd.home, home)
        with open(logs(home)[0], "r+b") as f:
            f.truncate(at)
            f.seek(at)
            f.write(tail)
        torn = Pcd(home=home)
        metrics = torn.metrics()
        assert metrics["pcd_recovery_records"] == 4, (at, tail, metrics)
        assert metrics["pcd_recovery_damaged_bytes"] == 0, (at, tail, metrics)
        for seq, b in enumerate(sent[:4], 1):
            replayed(torn, b, SESSION, seq)
        # The last was never whole: its client sends it again, and it is new.
        stored(torn, sent[4], SESSION, 5)
        assert torn.stop() == 0, torn.log
        assert torn.stored("host") == b"".join(map(lines, sent)), (at, tail)
        assert not [n for n in os.listdir(os.path.join(home, "log")) if n.endswith(".bad")]


def test_damage_inside_the_log_is_set_aside_counted_and_noted():
    pcd = Pcd()
    # Large enough that a gap can be noted in its place.
    sent = [batch("host", seq, filler=200) for seq in range(1, 6)]
    for seq, b in enumerate(sent, 1):
        stored(pcd, b, SESSION, seq)
    stored(pcd, batch("other", 1))
    pcd.kill()
    lose_day_files(pcd.home)
    [path] = logs(pcd.home)
    found = records(path)
    start, end, _ = found[3]
    for at in (start, start + 5, start + 20, start + 45, start + LOG_HEADER_BYTES + 1,
               (start + end) // 2, end - 1):
        home = os.path.join(folder(), "home")
        shutil.copytree(pcd.home, home)
        with open(logs(home)[0], "r+b") as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 0x10]))
        with open(logs(home)[0], "rb") as f:
            damaged = f.read()
        hurt = Pcd(home=home)
        assert "log_damaged" in hurt.log, hurt.log
        metrics = hurt.metrics()
        assert metrics["pcd_recovery_records"] == 5, (at, metrics)
        assert metrics["pcd_recovery_damaged_bytes"] == end - start, (at, metrics)
        # The log is kept as it was.
        [bad] = [n for n in os.listdir(os.path.join(home, "log")) if n.endswith(".bad")]
        with open(os.path.join(home, "log", bad), "rb") as f:
            assert f.read() == damaged
        for seq in (1, 2, 4, 5):
            replayed(hurt, sent[seq - 1], SESSION, seq)
        assert hurt.stop() == 0, hurt.log
        # The gap stands where the lines stood, to the byte; what is around it is whole.
        text = hurt.stored("host")
        before, after = b"".join(map(lines, sent[:2])), b"".join(map(lines, sent[3:]))
        assert text.startswith(before) and text.endswith(after), (at, text)
        hole = text[len(before):len(text) - len(after)]
        assert len(hole) == len(lines(sent[2])) and hole.endswith(b"\n"), hole
        gap = json.loads(hole)
        assert gap["subsystem"] == "pcd/gap", gap
        assert json.loads(gap["measurement"])["kind"] == "damaged", gap
        # And once more, about the store as a whole.
        [note] = hurt.stored("pcd").splitlines()
        assert json.loads(note)["subsystem"] == "pcd/gap", note
        assert hurt.stored("other") == lines(batch("other", 1))
        # It is told once.
        again = Pcd(home=home)
        assert "log_damaged" not in again.log, again.log
        stored(again, batch("host", 6), SESSION, 6)
        assert again.stop() == 0, again.log
        assert again.stored("host") == text + lines(batch("host", 6))


def test_damage_in_an_older_log_is_found_too():
    pcd = Pcd(LOG_MAX="16MiB", CHECKPOINT_INTERVAL="1h")
    sent = [batch("host", seq, n=10, filler=20000) for seq in range(1, 31)]
    for seq, b in enumerate(sent, 1):
        stored(pcd, b, SESSION, seq)
    pcd.kill()
    paths = logs(pcd.home)
    assert len(paths) >= 3, paths
    # The last record of the first log: nothing whole stands behind it there.
    start, end, text = records(paths[0])[-1]
    lost = [lines(b) for b in sent].index(text)
    lose_day_files(pcd.home)
    with open(paths[0], "r+b") as f:
        f.truncate(end - 5)
    pcd = Pcd(home=pcd.home, LOG_MAX="16MiB")
    metrics = pcd.metrics()
    assert metrics["pcd_recovery_records"] == len(sent) - 1, metrics
    assert metrics["pcd_recovery_damaged_bytes"] > 0, metrics
    for seq, b in enumerate(sent, 1):
        if seq - 1 != lost:
            replayed(pcd, b, SESSION, seq)
    assert pcd.stop() == 0, pcd.log
    kept = pcd.stored("host")
    for i, b in enumerate(sent):
        assert (lines(b) in kept) == (i != lost), i


def test_day_files_that_cannot_be_written_are_filled_from_the_log_later():
    pcd = Pcd()
    elsewhere = os.path.join(pcd.home, "elsewhere")
    os.mkdir(os.path.join(pcd.data, "stuck"))
    os.symlink(os.path.join(elsewhere, "file"),
               os.path.join(pcd.data, "stuck", "2026-01-07.jsonl"))
    sent = [batch("stuck", seq) for seq in range(1, 11)]
    for seq, b in enumerate(sent, 1):
        stored(pcd, b, SESSION, seq)
        stored(pcd, batch("fine", seq))
    # The others are filed all the same.
    pcd.wait_stored("fine", 30)
    wait_for("readyz to fail", lambda: pcd.request("GET", "/readyz")[0] == 503)
    assert pcd.request("GET", "/healthz")[0] == 200
    assert "day_file_failed" in pcd.log, pcd.log
    assert pcd.metrics()["pcd_file_failures_total"] > 0
    # What stands in the log only is still owed to the disk.
    assert pcd.metrics()["pcd_unfiled_bytes"] >= sum(len(lines(b)) for b in sent)
    stored(pcd, batch("stuck", 11), SESSION, 11)
    os.mkdir(elsewhere)
    wait_for("the day file", lambda: os.path.exists(os.path.join(elsewhere, "file")))
    pcd.wait_stored("stuck", 33)
    wait_for("readyz", lambda: pcd.request("GET", "/readyz")[0] == 200)
    assert pcd.metrics()["pcd_unfiled_bytes"] == 0
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("stuck") == b"".join(map(lines, [*sent, batch("stuck", 11)]))
    assert pcd.stored("fine") == b"".join(lines(batch("fine", seq)) for seq in range(1, 11))


def test_a_stop_while_a_day_file_cannot_be_written_leaves_it_to_the_next_start():
    pcd = Pcd()
    elsewhere = os.path.join(pcd.home, "elsewhere")
    os.mkdir(os.path.join(pcd.data, "stuck"))
    os.symlink(os.path.join(elsewhere, "file"),
               os.path.join(pcd.data, "stuck", "2026-01-07.jsonl"))
    stored(pcd, batch("stuck", 1), SESSION, 1)
    # It says that it could not finish.
    assert pcd.stop() == 1, pcd.log
    os.mkdir(elsewhere)
    pcd = Pcd(home=pcd.home)
    replayed(pcd, batch("stuck", 1), SESSION, 1)
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("stuck") == lines(batch("stuck", 1))


# Keys


def write_keys(pcd, *keys):
    path = os.path.join(pcd.home, "apikeys")
    with open(path + ".new", "w") as f:
        f.writelines(key + "\n" for key in keys)
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)


def test_sighup_reloads_the_keys_and_keeps_connections():
    pcd = Pcd()
    connection = pcd.connect()
    stored(pcd, batch("host", 1), connection=connection)
    write_keys(pcd, "# a comment", "", "second-key-0123456789", KEY)
    pcd.process.send_signal(signal.SIGHUP)
    wait_for("the second key", lambda: pcd.post(
        batch("second", 1), {"apikey": "second-key-0123456789"})[0] == 200)
    write_keys(pcd, "second-key-0123456789")
    pcd.process.send_signal(signal.SIGHUP)
    wait_for("the end of the first key",
             lambda: pcd.post(batch("first", 1), {"apikey": KEY})[0] == 401)
    status, _, _ = pcd.post(batch("host", 2), {"apikey": "second-key-0123456789"}, connection)
    assert status == 200
    # A file that can't be read changes nothing.
    os.remove(os.path.join(pcd.home, "apikeys"))
    pcd.process.send_signal(signal.SIGHUP)
    pcd.wait_line(r"(ERROR|WARNING) event=\S+.*apikeys")
    pcd.key = "second-key-0123456789"
    stored(pcd, batch("host", 3), connection=connection)
    assert pcd.stop() == 0, pcd.log
    assert pcd.stored("host") == b"".join(lines(batch("host", i)) for i in (1, 2, 3))


def test_without_keys_pcd_does_not_start_and_says_what_to_do():
    home = folder()
    for keys in (None, "", "# none\n\n"):
        path = os.path.join(home, "apikeys")
        if keys is not None:
            with open(path, "w") as f:
                f.write(keys)
        pcd = Pcd(home=home, key=None, wait=False)
        assert pcd.wait() in (1, 2), pcd.log
        assert path in pcd.log, pcd.log
        assert "listening" not in pcd.log
        # One line that says how to make one.
        assert "key" in pcd.log.splitlines()[-1], pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
