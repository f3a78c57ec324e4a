#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a person on call can see and mend of the batches that wait on disk."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter

import e2e
from e2e import PCC, Pcc, Pcd, clean_environment, free_port, wait_for
from stub import Answer, Stub

# The uptime, in hundredths of a second, makes each tick's measurements unique.
FAST = {"FREQUENCY": "50ms", "BATCH_SIZE": 10, "SUBSYSTEMS": "/proc/uptime,/proc/stat",
        "CATCHUP_SHARE": "1"}
# One that seals nothing until its end.
QUIET = {"FREQUENCY": "300ms", "BATCH_SIZE": 1000, "FLUSH_INTERVAL": "1h"}


def agent(server, spool, **options):
    tap = os.path.join(e2e.folder(), "tap")
    return Pcc(server, SPOOL_DIR=spool, COLLECTION=tap, **{**FAST, **options})


def nowhere():
    return f"http://127.0.0.1:{free_port()}"


def tool(*args, status=0):
    """Runs `pcc spool`. Return: its lines, each as a dict, and what it complained of."""
    done = subprocess.run([PCC, "spool", *args], capture_output=True, text=True,
                          env=clean_environment(HOME="/nonexistent"), timeout=60)
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert "Sanitizer" not in done.stderr, done.stderr
    lines = [{key: value or quoted for key, quoted, value in
              re.findall(r'(\w+)(?:="((?:[^"\\]|\\.)*)"|=(\S+)|)(?=\s|$)', line)}
             for line in done.stdout.splitlines() if not line.startswith("#")]
    return lines, done.stderr


def look(spool, verb="list", *args, status=0):
    """Return: what the tool says of the waiting files, of those in rejected/, and in sum."""
    lines, _ = tool(verb, "--spool-dir", spool, *args, status=status)
    return ([i for i in lines if "batch" in i and "total" not in i],
            [i for i in lines if "rejected" in i and "batches" not in i], lines[-1])


def files(spool, folder=""):
    path = os.path.join(spool, folder)
    return sorted(n for n in os.listdir(path) if n.endswith(".batch"))


def paths(spool, folder=""):
    return [os.path.join(spool, folder, n) for n in files(spool, folder)]


def flip(path, offset):
    with open(path, "r+b") as f:
        f.seek(offset)
        byte = f.read(1)[0]
        f.seek(offset)
        f.write(bytes([byte ^ 1]))


def key_of(m):
    return m["timestamp"], m["subsystem"], m["measurement"]


def taken(*agents):
    return Counter(key_of(m) for a in agents for m in a.taken())


def wait_empty(spool):
    wait_for("an empty spool", lambda: files(spool) == [])


def deliver(spool, *agents, pcd=None):
    """An agent sends all that waits. Return: what is in the store, and what was taken by
    all agents, without gaps; and the gaps that the store tells of."""
    pcd = pcd or Pcd()
    last = agent(pcd, spool)
    wait_empty(spool)
    assert last.stop() == 0, last.log
    assert files(spool) == []
    assert pcd.stop() == 0
    found = [key_of(json.loads(line)) for line in pcd.stored("test-host").splitlines()]
    gaps = [json.loads(text) for _, subsystem, text in found if subsystem == "pcc/gap"]
    stored = Counter(m for m in found if m[1] != "pcc/gap")
    want = Counter(m for m in taken(*agents, last).elements() if m[1] != "pcc/gap")
    return stored, want, gaps


def filled(n=8):
    """A spool with at least so many batches. Return: it, and the agent that filled it."""
    spool = e2e.folder()
    a = agent(nowhere(), spool)
    wait_for("ticks", lambda: len(a.taken()) > 10 * n)
    assert a.stop() == 0, a.log
    assert len(files(spool)) >= n
    return spool, a


def split_one(spool):
    """Has the oldest batch cut in two, which stays in the spool. Return: the agent that did
    it."""
    too_large = lambda r: Answer(413 if r.n > 6 else 503, error="no").render(r)
    stub = Stub(default=too_large)
    a = agent(stub.url, spool, **QUIET)
    wait_for("a file of two parts", lambda: int(look(spool)[0][0]["parts"]) == 2, 20)
    assert a.stop() == 0, a.log
    stub.close()
    return a


def refused():
    """A spool whose server has refused a batch or more. Return: it, and its agent."""
    spool = e2e.folder()
    stub = Stub(default=Answer(400, error="not like this"))
    a = agent(stub.url, spool)
    wait_for("a refused batch", lambda: os.path.isdir(os.path.join(spool, "rejected")) and
             files(spool, "rejected"), 20)
    stub.close()
    assert a.stop() == 0, a.log
    return spool, a


def test_list_says_what_waits_also_beside_an_agent():
    spool = e2e.folder()
    a = agent(nowhere(), spool, SPOOL="always", IDENTIFIER='a "b"')
    wait_for("files", lambda: len(files(spool)) > 4 if os.path.isdir(spool) else False)
    waiting, rejected, total = look(spool)
    assert len(waiting) >= 4 and rejected == []
    first = waiting[0]
    assert first["batch"] + ".batch" == files(spool)[0]
    assert first["identifier"] == r'a \"b\"' and first["form"] == "msgpack+gzip"
    assert first["measurements"] == "10" and first["ticks"] == "5" and first["parts"] == "1"
    assert int(first["bytes"]) == os.path.getsize(paths(spool)[0])
    assert re.fullmatch(r"[0-9a-f]{16}-1", first["key"]), first
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["from"]), first
    assert [int(w["key"].split("-")[1]) for w in waiting] == [*range(1, len(waiting) + 1)]
    assert total["batches"] == str(len(waiting))
    assert total["measurements"] == str(sum(int(w["measurements"]) for w in waiting))
    assert total["bytes"] == str(sum(int(w["bytes"]) for w in waiting))
    assert re.fullmatch(r"(\dm)?\d+s", total["oldest"])
    assert look(spool, "check")[2]["damaged"] == "0"
    assert a.stop() == 0


def test_check_says_which_file_is_wrong_and_where():
    spool, _ = filled()
    all_of_them = paths(spool)
    sizes = [os.path.getsize(p) for p in all_of_them]
    total = look(spool, "check")[2]
    assert total["damaged"] == "0" and total["bytes"] == str(sum(sizes)), total
    flip(all_of_them[0], 30)
    flip(all_of_them[1], sizes[1] - 3)
    os.truncate(all_of_them[2], sizes[2] - 1)
    os.truncate(all_of_them[3], 20)
    with open(all_of_them[4], "ab") as f:
        f.write(b"more")
    found, _, total = look(spool, "check", status=1)
    assert [f["batch"] + ".batch" for f in found] == files(spool)[:5]
    assert [f["damaged"] for f in found] == [
        "the header's checksum differs", "the body's checksum differs",
        "the body is cut short", "the header is cut short",
        "the file's length isn't what its header says"]
    assert found[1]["part"] == "1"
    assert int(found[1]["offset"]) + int(found[1]["bytes"]) == sizes[1]
    assert found[2]["offset"] == str(sizes[2] - 1)
    assert total["damaged"] == "5"
    # Without reading bodies that much can be seen too.
    seen = [i for i in look(spool)[0] if "damaged" in i]
    assert [i["batch"] for i in seen] == [found[n]["batch"] for n in (0, 2, 3, 4)]


def test_a_body_that_is_not_what_its_label_says_is_found():
    spool, _ = filled(3)
    one, other = paths(spool)[:2]
    with open(one, "rb") as f:
        data = bytearray(f.read())
    # The number of measurements, and the checksum over the header made good.
    assert int.from_bytes(data[24 + 48:24 + 56], "little") == 10
    data[24 + 48] = 11
    header = int.from_bytes(data[8:12], "little")
    data[0:4] = crc32c(data[4:header]).to_bytes(4, "little")
    with open(one, "wb") as f:
        f.write(data)
    found, _, _ = look(spool, "check", status=1)
    assert len(found) == 1 and found[0]["damaged"] == "the body isn't what its label says"
    assert os.path.exists(other)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_what_can_not_be_read_is_not_called_damaged():
    spool, _ = filled(2)
    os.makedirs(os.path.join(spool, "rejected"), exist_ok=True)
    for place in "", "rejected":  # a folder opens as a file does, but no byte of it is read
        os.mkdir(os.path.join(spool, place, "00000000000000ff.batch"))
    for verb in "list", "check":
        waiting, rejected, total = look(spool, verb, status=2)
        assert waiting[-1]["unreadable"] and rejected[-1]["unreadable"], (waiting, rejected)
        assert total["damaged"] == "0" and total["unreadable"] == "2", total
    done, failed, total = look(spool, "repair", status=1)
    assert done[-1]["failed"] and failed[-1]["failed"], (done, failed)
    assert total["files"] == "0" and total["failed"] == "2", total


def test_repair_gets_damage_out_of_the_way_and_tells_of_the_loss():
    spool, a = filled()
    names, all_of_them = files(spool), paths(spool)
    flip(all_of_them[1], 30)
    flip(all_of_them[3], os.path.getsize(all_of_them[3]) - 1)
    with open(all_of_them[5], "ab") as f:
        f.write(b"more")
    done, _, total = look(spool, "repair")
    assert [d["batch"] + ".batch" for d in done] == [names[1], names[3], names[5]]
    assert done[1]["lost_measurements"] == "10" and done[2]["lost_measurements"] == "0"
    assert total["files"] == "3" and total["lost_measurements"] == "10"
    assert files(spool, "rejected") == [names[1], names[3]]
    assert look(spool, "check")[2]["damaged"] == "0"
    assert look(spool, "repair")[2]["files"] == "0", "there is nothing left to do"
    assert files(spool, "rejected") == [names[1], names[3]]
    stored, want, gaps = deliver(spool, a)
    lost = want - stored
    assert not stored - want, "stored twice, or never taken"
    assert lost.total() == 20, lost.total()
    assert [g["measurements"] for g in gaps if g["kind"] == "damaged"] == [10], gaps


def test_parts_that_are_whole_stay_where_others_are_damaged():
    spool, a = filled(3)
    b = split_one(spool)
    flip(paths(spool)[0], os.path.getsize(paths(spool)[0]) - 1)
    found, _, _ = look(spool, "check", status=1)
    assert found[0]["part"] == "2" and found[0]["of"] == "2"
    key = look(spool)[0][0]["key"]
    done, _, _ = look(spool, "repair")
    assert done[0]["whole"] == "1" and done[0]["lost_measurements"] == "6", done
    assert look(spool)[0][0]["key"] == key, "it keeps its identity"
    assert files(spool, "rejected") == []
    stored, want, gaps = deliver(spool, a, b)
    assert not stored - want and (want - stored).total() == 6
    assert [g["measurements"] for g in gaps if g["kind"] == "damaged"] == [6], gaps


def test_parts_that_are_whole_are_sent_and_the_others_kept():
    spool, a = filled(3)
    b = split_one(spool)
    flip(paths(spool)[0], os.path.getsize(paths(spool)[0]) - 1)
    stored, want, gaps = deliver(spool, a, b)
    assert not stored - want and (want - stored).total() == 6
    assert [g["measurements"] for g in gaps if g["kind"] == "damaged"] == [6], gaps
    kept = look(spool, "check")[1]
    assert [k["damaged"] for k in kept] == ["the body's checksum differs"], kept
    assert look(spool, "repair", "--refused")[2]["put_back_measurements"] == "0"


def test_what_is_whole_in_rejected_is_sent_after_a_repair_and_once():
    spool, a = filled(3)
    b = split_one(spool)
    flip(paths(spool)[0], os.path.getsize(paths(spool)[0]) - 1)
    # As where it could not be read at all when it was its turn.
    os.rename(paths(spool)[0], os.path.join(spool, "rejected", files(spool)[0]))
    pcd = Pcd()
    c = agent(pcd, spool)
    wait_empty(spool)
    assert c.stop() == 0
    assert len(files(spool, "rejected")) == 1
    # It is cut off once before the file is gone from rejected/, and the batch is stored in
    # between.
    again = paths(spool, "rejected")[0]
    shutil.copy(again, again + ".kept")
    _, done, total = look(spool, "repair")
    assert done[0]["measurements"] == "4" and total["put_back_measurements"] == "4"
    assert files(spool, "rejected") == []
    d = agent(pcd, spool)
    wait_empty(spool)
    assert d.stop() == 0
    os.rename(again + ".kept", again)
    assert look(spool, "repair")[2]["put_back_measurements"] == "4"
    stored, want, _ = deliver(spool, a, b, c, d, pcd=pcd)
    assert not stored - want, "stored twice, or never taken"
    assert (want - stored).total() == 6


def test_what_the_server_refused_comes_back_only_when_asked_for():
    spool, a = refused()
    n = len(files(spool, "rejected"))
    _, rejected, total = look(spool)
    assert len(rejected) == n == int(total["rejected"])
    assert "refused it" in look(spool, "check")[1][0]["whole"]
    _, kept, total = look(spool, "repair")
    assert total["kept_refused"] == str(n) and total["put_back_measurements"] == "0"
    assert "--refused" in kept[0]["refused"] and len(files(spool, "rejected")) == n
    total = look(spool, "repair", "--refused")[2]
    assert int(total["put_back_measurements"]) == sum(
        int(r["measurements"]) for r in rejected)
    assert files(spool, "rejected") == []
    stored, want, _ = deliver(spool, a)
    assert stored == want, (stored - want, want - stored)


def test_repair_needs_room():
    spool, a = refused()
    n = len(files(spool, "rejected"))
    _, failed, total = look(spool, "repair", "--refused", "--spool-reserve", "1TiB",
                            status=1)
    assert "PCC_SPOOL_RESERVE" in failed[0]["failed"] and total["failed"] == str(n)
    assert len(files(spool, "rejected")) == n


def test_repair_needs_the_agent_stopped():
    spool, _ = filled(1)
    flip(paths(spool)[0], 30)
    a = agent(nowhere(), spool, SPOOL="always")
    a.wait_line("event=started")
    _, why = tool("repair", "--spool-dir", spool, status=2)
    assert "a pcc has it: stop it first" in why
    assert a.stop() == 0


def test_root_repairs_as_the_owner():
    if os.geteuid() != 0:
        raise e2e.Skip("only root can be another user")
    spool, a = refused()
    os.chmod(os.path.dirname(spool), 0o1777)
    for folder, _, names in os.walk(spool):
        for path in [folder, *(os.path.join(folder, n) for n in names)]:
            os.chown(path, 65534, 65534)
    look(spool, "repair", "--refused")
    assert files(spool), "something was put back"
    for path in paths(spool):
        assert os.stat(path).st_uid == 65534, path


def test_what_is_wrong_is_said():
    assert "expected list, check or repair" in tool(status=2)[1]
    assert "expected list, check or repair" in tool("lst", status=2)[1]
    assert "can't read /nonexistent" in tool("list", "--spool-dir", "/nonexistent",
                                             status=2)[1]
    assert "the nearest is --spool-dir" in tool("list", "--spool-dirr", "/x", status=2)[1]
    assert "no such flag" in tool("list", "--refused", status=2)[1]
    for args in ["--help"], ["repair", "--help"]:
        shown = subprocess.run([PCC, "spool", *args], capture_output=True, text=True,
                               env=clean_environment(), check=True).stdout
        assert "--refused" in shown


def test_the_folder_is_found_as_the_agent_finds_it():
    spool, _ = filled(1)
    config = os.path.join(e2e.folder(), "pcc.conf")
    with open(config, "w") as f:
        f.write(f"PCC_MODE=trickle\nPCC_APIKEY=secret\nPCC_SPOOL_DIR={spool}\n")
    lines, _ = tool("list", "--config", config)
    assert int(lines[-1]["batches"]) >= 1
    if os.path.exists("/var/lib/pcc/spool"):
        return
    state = e2e.folder()
    shutil.copytree(spool, os.path.join(state, "pcc", "spool"))
    done = subprocess.run([PCC, "spool", "list"], capture_output=True, text=True,
                          env=clean_environment(XDG_STATE_HOME=state), check=True)
    assert f"{state}/pcc/spool: what waits" in done.stdout


if __name__ == "__main__":
    e2e.run(sys.modules[__name__])
