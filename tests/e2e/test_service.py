#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Both as services: what a manager is told and when, what they gave up, and that neither
needs to be root."""

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import e2e
sys.path.insert(0, os.path.join(e2e.SOURCE, "tests", "fault"))
from faults import Shim  # noqa: E402  (found only now)
from e2e import BUILD, KEY, PATIENCE, Pcc, Pcd, Skip, folder, free_port, measurements, run, \
    wait_for

BATCH = {"identifier": "host", "measurements": measurements(3)}
# A build with sanitizers keeps what they need.
SANITIZED = PATIENCE > 1
PTRACE_ATTACH, PTRACE_DETACH = 16, 17


class Manager:
    """A service manager, as far as sd_notify(3) goes. abstract: at a name that lies in no
    folder."""

    def __init__(self, abstract=False):
        name = os.path.join(folder(), "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name if abstract else name)
        self.env = {"NOTIFY_SOCKET": "@" + name if abstract else name}
        self.said = []  # (when, what)
        threading.Thread(target=self._listen, daemon=True).start()

    def watching(self, seconds):
        """The environment of a service that has to give signs of life."""
        return {**self.env, "WATCHDOG_USEC": str(int(seconds * 1e6))}

    def _listen(self):
        while True:
            self.said.append((time.monotonic(), self.socket.recv(4096).decode()))

    def heard(self, what):
        """When each message came in which a line begins so."""
        return [when for when, text in list(self.said)
                if any(part.startswith(what) for part in text.split("\n"))]

    def wait(self, what, n=1, seconds=10):
        wait_for(f"{n} times {what!r}", lambda: len(self.heard(what)) >= n, seconds)


def test_pcd_is_ready_when_its_port_is_open():
    for abstract in (False, True):
        manager = Manager(abstract)
        port = free_port()
        pcd = Pcd(environment=manager.env, port=port, wait=False)
        manager.wait("READY=1", 1, 30)
        socket.create_connection(("127.0.0.1", port)).close()
        assert f"STATUS=listening on 127.0.0.1:{port}" in manager.said[-1][1], manager.said
        pcd.process.send_signal(signal.SIGHUP)
        manager.wait("READY=1", 2)
        texts = [text for _, text in manager.said]
        reload = [i for i, text in enumerate(texts) if text.startswith("RELOADING=1")]
        assert len(reload) == 1 and "\nMONOTONIC_USEC=" in texts[reload[0]], texts
        assert texts[reload[0] + 1].startswith("READY=1"), texts
        assert not manager.heard("WATCHDOG"), manager.said  # nobody asked for it
        assert pcd.stop() == 0
        assert manager.said[-1][1] == "STOPPING=1", manager.said


def test_pcc_is_ready_when_it_samples():
    manager = Manager()
    pcc = Pcc(environment=manager.env, FREQUENCY="20ms")
    manager.wait("READY=1")
    wait_for("a tick", pcc.taken)
    assert manager.said[0][1].startswith("READY=1\nSTATUS=a tick each 20ms"), manager.said
    pcc.stop()
    assert manager.said[-1][1] == "STOPPING=1" and len(manager.said) == 2, manager.said


def test_a_start_that_fails_is_never_ready():
    manager = Manager()
    home = folder()
    first = Pcd(home)
    second = Pcd(home, wait=False, environment=manager.env)
    assert second.wait() == 1
    third = Pcc(environment=manager.env, COLLECTION=folder())
    assert third.wait() == 1
    assert not manager.heard("READY"), manager.said
    first.stop()


def test_a_recovery_asks_for_more_time():
    pcd = Pcd(CHECKPOINT_INTERVAL="1h")
    assert pcd.post(BATCH)[0] == 200
    pcd.kill()
    manager = Manager()
    pcd = Pcd(pcd.home, environment=manager.env)
    manager.wait("READY=1")
    texts = [text for _, text in manager.said]
    assert texts[0] == "EXTEND_TIMEOUT_USEC=120000000\nSTATUS=recovering", texts
    assert texts[1].startswith("READY=1"), texts
    pcd.stop()


def test_a_manager_that_is_not_there_keeps_nobody_from_working():
    env = {"NOTIFY_SOCKET": "/nonexistent/notify", "WATCHDOG_USEC": "100000"}
    pcd = Pcd(environment=env)
    pcd.wait_line("event=manager_not_told")
    assert pcd.post(BATCH)[0] == 200
    assert pcd.stop() == 0


@contextlib.contextmanager
def held_thread(program, name):
    """Holds one thread of a program still, as a debugger does, while the others go on."""
    base = f"/proc/{program.process.pid}/task"
    for task in os.listdir(base):
        with open(f"{base}/{task}/comm") as f:
            if f.read().strip() == name:
                break
    else:
        raise AssertionError(f"no thread {name}")
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    if libc.ptrace(PTRACE_ATTACH, int(task), None, None) != 0:
        raise Skip(f"no thread can be held here: {os.strerror(ctypes.get_errno())}")
    wait_all = 0x40000000  # __WALL: of threads too
    os.waitpid(int(task), wait_all)
    yield
    assert libc.ptrace(PTRACE_DETACH, int(task), None, None) == 0


def falls_silent(manager):
    """Waits until no sign of life comes any more for three times as long as one is due."""
    def silent():
        return time.monotonic() - manager.heard("WATCHDOG=1")[-1] > 3 * 0.3 * PATIENCE
    wait_for("silence", silent, 20)


def test_the_watchdog_sees_a_sampler_that_hangs():
    manager = Manager()
    pcc = Pcc(environment=manager.watching(0.3 * PATIENCE), FREQUENCY="20ms")
    manager.wait("WATCHDOG=1", 5)
    with held_thread(pcc, "pcc-sampler"):
        falls_silent(manager)
    manager.wait("WATCHDOG=1", len(manager.heard("WATCHDOG=1")) + 3)
    pcc.stop()


def test_the_watchdog_sees_a_committer_that_hangs():
    manager = Manager()
    pcd = Pcd(environment=manager.watching(0.3 * PATIENCE))
    # With nothing to do it doesn't hang.
    manager.wait("WATCHDOG=1", 5)
    results = []
    with held_thread(pcd, "pcd-committer"):
        client = threading.Thread(target=lambda: results.append(pcd.post(BATCH)[0]))
        client.start()
        falls_silent(manager)
    client.join()
    assert results == [200], results
    manager.wait("WATCHDOG=1", len(manager.heard("WATCHDOG=1")) + 3)
    pcd.stop()


def test_a_disk_that_does_not_answer_is_no_hang():
    manager = Manager()
    home = folder()
    shim = Shim(home)
    pcd = Pcd(home, environment={**manager.watching(0.3 * PATIENCE), **shim.environment})
    shim.rules(f"sync log/* delay:{int(3000 * PATIENCE)} times 1")
    client = threading.Thread(target=lambda: pcd.post(BATCH))
    client.start()
    wait_for("the sync that waits", lambda: shim.hits("^sync"))
    before = len(manager.heard("WATCHDOG=1"))
    # So many signs are due while the disk is silent.
    manager.wait("WATCHDOG=1", before + 8)
    assert client.is_alive(), "the sync was over too soon for this test"
    client.join()
    pcd.stop()


def test_ticks_that_are_far_apart_are_no_hang():
    manager = Manager()
    pcc = Pcc(environment=manager.watching(0.3), FREQUENCY="1h")
    manager.wait("WATCHDOG=1", 10)
    pcc.stop()


# What they gave up


def status_of(program):
    with open(f"/proc/{program.process.pid}/status") as f:
        return dict(text.rstrip("\n").split(":\t", 1) for text in f if ":\t" in text)


def is_confined(program, umask):
    pid = program.process.pid
    status = status_of(program)
    assert status["NoNewPrivs"] == "1", status
    assert int(status["Umask"], 8) & umask == umask, status
    with open(f"/proc/{pid}/limits") as f:
        core = [text for text in f if text.startswith("Max core file size")]
    assert core[0].split()[4:6] == ["0", "0"], core
    return status


def test_both_give_up_cores_and_privileges():
    pcd = Pcd()
    pcc = Pcc(pcd)
    pcc.wait_line("event=started")
    is_confined(pcd, 0o77)
    is_confined(pcc, 0o22)
    pcc.stop()
    assert pcd.stop() == 0


def test_a_crash_leaves_no_core():
    if not shutil.which("prlimit"):
        raise Skip("there is no prlimit")
    allowed = ["prlimit", "--core=unlimited", "--"]
    here = os.getcwd()
    os.chdir(folder())  # where a core would go
    pcd = Pcd(under=allowed)
    pcc = Pcc(pcd, under=allowed)
    os.chdir(here)
    pcc.wait_line("event=started")
    for program in (pcc, pcd):
        # Not SIGQUIT, which a shell's background job ignores, and all that it starts.
        program.process.send_signal(signal.SIGABRT)
        _, status = os.waitpid(program.process.pid, 0)
        program.process.returncode = -os.WTERMSIG(status)
        assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status), status


# Without root


def as_nobody():
    """A command that goes on as a user of no rights, and a place where he finds the two
    programs; the tests' own user where that isn't root."""
    if os.getuid() != 0:
        return [], BUILD
    if not shutil.which("setpriv"):
        raise Skip("there is no setpriv")
    place = folder()
    os.chmod(place, 0o755)
    for program in (e2e.PCC, e2e.PCD):
        shutil.copy(program, place)
    return ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
            "--bounding-set=-all", "--inh-caps=-all", "--"], place


def given_away(path):
    """A folder, to nobody."""
    if os.getuid() == 0:
        os.chown(path, 65534, 65534)
        for name in os.listdir(path):
            os.chown(os.path.join(path, name), 65534, 65534)
    return path


@contextlib.contextmanager
def programs_at(place):
    old = e2e.PCC, e2e.PCD
    if place != BUILD:
        e2e.PCC, e2e.PCD = os.path.join(place, "pcc"), os.path.join(place, "pcd")
    yield
    e2e.PCC, e2e.PCD = old


def test_both_run_without_root_and_read_the_same():
    under, place = as_nobody()
    home = folder()
    with open(os.open(os.path.join(home, "apikeys"), os.O_WRONLY | os.O_CREAT, 0o600),
              "w") as f:
        f.write(KEY + "\n")
    given_away(home)
    with programs_at(place):
        pcd = Pcd(home, under=under)
        pcc = Pcc(pcd, under=under, FREQUENCY="100ms", BATCH_SIZE="10",
                  COLLECTION=os.path.join(given_away(folder()), "pcc.json"))
        # The same ticks by the tests' own user, who is root where that matters.
        own = Pcc(FREQUENCY="100ms")
        wait_for("ticks", lambda: len(pcc.taken()) > 30 and len(own.taken()) > 10)
        for program, umask in ((pcd, 0o77), (pcc, 0o22)):
            status = is_confined(program, umask)
            if under:
                assert status["Uid"].split() == ["65534"] * 4, status
                assert int(status["CapEff"], 16) == 0, status
            # Not even another process of the same user sees its memory: it is root's.
            if not SANITIZED:
                assert os.stat(f"/proc/{program.process.pid}/environ").st_uid == 0
        assert {m["subsystem"] for m in pcc.taken()} == \
            {m["subsystem"] for m in own.taken()}
        pcd.process.send_signal(signal.SIGHUP)
        wait_for("the keys, again", lambda: pcd.log.count("event=keys_loaded") == 2)
        assert pcc.stop() == 0, pcc.log
        own.stop()
        taken = len(pcc.taken())
        assert pcd.wait_stored("test-host", taken).count(b"\n") == taken
        assert pcd.stop() == 0, pcd.log


def test_memory_of_a_service_is_closed_to_others_of_its_user():
    if SANITIZED:
        raise Skip("a build with sanitizers stays dumpable")
    under, place = as_nobody()
    home = folder()
    with open(os.path.join(home, "apikeys"), "w") as f:
        f.write(KEY + "\n")
    given_away(home)
    with programs_at(place):
        pcd = Pcd(home, under=under)
    for name in ("environ", "mem", "maps"):
        spy = subprocess.run([*under, "head", "-c", "1", f"/proc/{pcd.process.pid}/{name}"],
                             capture_output=True)
        assert b"Permission denied" in spy.stderr and spy.stdout == b"", (name, spy)
    assert pcd.stop() == 0


if __name__ == "__main__":
    run(sys.modules[__name__])
