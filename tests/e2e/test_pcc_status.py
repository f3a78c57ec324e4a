#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcc status: what the agent says of itself, and what the exit status means."""

import json
import os
import signal
import socket
import subprocess
import sys

from e2e import PCC, Pcc, Pcd, Skip, clean_environment, folder, free_port, run, wait_for

QUICK = {"FREQUENCY": "100ms", "SUBSYSTEMS": "/proc/uptime,/proc/loadavg", "BATCH_SIZE": "10"}


def place():
    return os.path.join(folder(), "status.sock")


def ask(path, *flags, **variables):
    """Return: exit status, what it said as a dict, stderr."""
    done = subprocess.run([PCC, "status", *flags], capture_output=True, text=True, timeout=60,
                          env=clean_environment(PCC_STATUS_SOCKET=path, **variables))
    said = {}
    if "--json" in flags and done.stdout:
        said = json.loads(done.stdout)
    elif done.stdout:
        said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return done.returncode, said, done.stderr


def test_an_agent_that_delivers_is_well():
    path = place()
    pcd = Pcd()
    pcc = Pcc(pcd, STATUS_SOCKET=path, **QUICK)
    wait_for("state=ok", lambda: ask(path)[1].get("state") == "ok", 30)
    status, said, _ = ask(path)
    assert status == 0, said
    assert said["identifier"] == "test-host" and said["server"] == pcd.url, said
    assert (said["serialization"], said["compression"]) == ("delta", "gzip"), said
    assert int(said["pid"]) == pcc.process.pid and said["last_error"] == "", said
    assert 0 <= int(said["stored_age_ms"]) < 60000 and int(said["sent"]) >= 10, said
    status, document, _ = ask(path, "--json")
    assert status == 0 and list(document) == list(said), document
    assert document["pid"] == pcc.process.pid and document["last_error"] is None, document
    assert pcc.stop() == 0
    assert not os.path.exists(path)


def test_where_nobody_answers_the_status_is_3():
    path = place()
    status, said, error = ask(path)
    assert status == 3 and not said and path in error, (status, said, error)
    pcc = Pcc(STATUS_SOCKET=path, **QUICK)
    wait_for("an answer", lambda: ask(path)[0] == 0, 30)
    pcc.process.send_signal(signal.SIGSTOP)
    assert ask(path)[0] == 3
    pcc.process.send_signal(signal.SIGCONT)
    wait_for("an answer", lambda: ask(path)[0] == 0, 30)
    pcc.kill()
    status, said, error = ask(path)
    assert status == 3 and "refused" in error, (status, said, error)
    # What the kill left there doesn't keep the next one away.
    pcc = Pcc(STATUS_SOCKET=path, **QUICK)
    wait_for("an answer", lambda: ask(path)[0] == 0, 30)
    assert pcc.stop() == 0


def test_an_agent_that_fails_to_deliver_says_why():
    path = place()
    port = free_port()
    pcc = Pcc(f"http://127.0.0.1:{port}", STATUS_SOCKET=path, **QUICK)
    wait_for("state=failing", lambda: ask(path)[1].get("state") == "failing", 30)
    wait_for("batches", lambda: int(ask(path)[1]["memory_measurements"]) > 20, 30)
    status, said, _ = ask(path)
    assert status == 1 and str(port) in said["last_error"], said
    assert said["stored_age_ms"] == "" and int(said["last_error_age_ms"]) >= 0, said
    pcd = Pcd(port=port)
    wait_for("state=ok", lambda: ask(path)[0] == 0 and ask(path)[1]["state"] == "ok", 90)
    assert pcc.stop() == 0, pcc.log
    assert pcd.stop() == 0


def test_a_collection_that_cannot_be_written_is_a_failure():
    path = place()
    pcc = Pcc(STATUS_SOCKET=path, **{**QUICK, "COLLECTION": "/dev/full"})
    wait_for("state=failing", lambda: ask(path)[1].get("state") == "failing", 30)
    status, said, _ = ask(path)
    assert status == 1 and "collection" in said["last_error"], said
    wait_for("its loss", lambda: int(ask(path)[1]["lost_collection"]) > 0, 30)
    pcc.stop()


def test_those_who_connect_and_do_not_read_disturb_nobody():
    path = place()
    pcc = Pcc(STATUS_SOCKET=path, **{**QUICK, "FREQUENCY": "10ms"})
    wait_for("an answer", lambda: ask(path)[0] == 0, 30)
    before = int(ask(path)[1]["ticks"])
    idle = []
    for _ in range(500):
        s = socket.socket(socket.AF_UNIX)
        s.connect(path)
        idle.append(s)
    wait_for("ticks", lambda: int(ask(path)[1]["ticks"]) > before + 100, 30)
    assert len(os.listdir(f"/proc/{pcc.process.pid}/fd")) < 40
    for s in idle:
        s.close()
    assert pcc.stop() == 0, pcc.log


def test_a_second_agent_leaves_the_socket_to_the_first():
    path = place()
    first = Pcc(STATUS_SOCKET=path, **QUICK)
    wait_for("an answer", lambda: ask(path)[0] == 0, 30)
    second = Pcc(STATUS_SOCKET=path, **QUICK)
    second.wait_line("event=status_unavailable")
    second.wait_line("event=started")
    assert second.stop() == 0
    assert int(ask(path)[1]["pid"]) == first.process.pid
    assert first.stop() == 0


def test_the_users_runtime_folder_is_the_place_where_run_is_not():
    if os.access("/run", os.W_OK):
        raise Skip("/run can be written here, and is the place then")
    runtime = folder()
    pcc = Pcc(STATUS_SOCKET="", environment={"XDG_RUNTIME_DIR": runtime}, **QUICK)
    path = os.path.join(runtime, "pcc", "status.sock")
    wait_for("the socket", lambda: os.path.exists(path), 30)
    assert ask("", XDG_RUNTIME_DIR=runtime)[0] == 0
    assert pcc.stop() == 0


def test_help_and_usage():
    done = subprocess.run([PCC, "status", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--json" in done.stdout
    assert ask("x", "--no-such-flag")[0] == 2
    assert ask("x", "now")[0] == 2


run(sys.modules[__name__])
