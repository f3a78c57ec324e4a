#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The systemd units: what is installed, that the two programs do all their work inside, and
that nothing which pcc reads is hidden from it there."""

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import e2e
from e2e import BUILD, KEY, PATIENCE, SOURCE, Skip, folder, free_port, lines, measurements, \
    run, wait_for
from manager import HOME, Manager
from sources import N_SOURCES, SOURCES, shapes

UNITS = ("pcc", "pcd")
BATCH = {"identifier": "host", "measurements": measurements(3)}
EXPOSURE_MAX = 25  # of 100, as systemd-analyze counts
# A call that the filter refuses is the end, so that none goes unseen.
STRICT = "SystemCallErrorNumber=kill\n"

def not_sanitized():
    if PATIENCE > 1:
        raise Skip("a sanitizer's own calls and memory are not what the units are for")


def tool(name):
    if not shutil.which(name):
        raise Skip(f"there is no {name}")
    return name


def built(name):
    with open(os.path.join(BUILD, "systemd", name + ".service")) as f:
        return f.read()


def test_what_is_installed():
    place = folder()
    subprocess.run([tool("/usr/bin/meson"), "install", "-C", BUILD, "--no-rebuild", "--quiet",
                    "--destdir", place], check=True, stdout=subprocess.DEVNULL)
    files = {}
    for base, _, names in os.walk(place):
        for name in names:
            files[name] = os.path.join(base, name)
    prefix = os.path.dirname(os.path.dirname(files["pcd"]))
    for name in UNITS:
        unit = files[name + ".service"]
        assert unit == f"{prefix}/lib/systemd/system/{name}.service", files
        assert files[name + ".conf"] == f"{prefix}/lib/sysusers.d/{name}.conf", files
        with open(unit) as f:
            program = re.search(r"^ExecStart=(\S+)$", f.read(), re.M).group(1)
        assert place + program == files[name] and os.access(files[name], os.X_OK), program
        assert os.stat(unit).st_mode & 0o777 == 0o644


def test_the_users_can_be_made():
    tool("systemd-sysusers")
    root = folder()
    os.makedirs(os.path.join(root, "etc"))
    for name in UNITS:
        with open(os.path.join(SOURCE, "systemd", name + ".sysusers")) as f:
            done = subprocess.run(["systemd-sysusers", "--root", root, "-"], input=f.read(),
                                  capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with open(os.path.join(root, "etc", "passwd")) as f:
        users = {text.split(":")[0]: text.rstrip("\n").split(":")[5:] for text in f}
    assert users == {name: [f"/var/lib/{name}", "/usr/sbin/nologin"] for name in UNITS}, users


def test_systemd_finds_nothing_wrong_and_little_exposed():
    tool("systemd-analyze")
    place = folder()
    for name in UNITS:
        text = re.sub(r"^ExecStart=\S+/(\w+)$",
                      lambda m: "ExecStart=" + getattr(e2e, m.group(1).upper()),
                      built(name), flags=re.M)
        path = os.path.join(place, name + ".service")
        with open(path, "w") as f:
            f.write(text)
        done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True,
                              text=True)
        assert done.returncode == 0 and name + ".service" not in done.stderr, done.stderr
        done = subprocess.run(["systemd-analyze", "security", "--offline=true",
                               f"--threshold={EXPOSURE_MAX}", "--no-pager", path],
                              capture_output=True, text=True)
        if "unrecognized option" in done.stderr:
            raise Skip("this systemd-analyze knows no --offline")
        assert done.returncode == 0, done.stdout


def image():
    """A small filesystem for a manager to mount; None where there can't be one."""
    if not shutil.which("mkfs.ext4") or not os.path.exists("/dev/loop-control"):
        return None
    path = os.path.join(folder(), "image")
    with open(path, "wb") as f:
        f.truncate(8 << 20)
    subprocess.run(["mkfs.ext4", "-q", path], check=True)
    return path


def with_server(manager, extra=""):
    """Runs pcd under its unit. Returns how to speak to it."""
    pcd = e2e.Remote("127.0.0.1", free_port())
    manager.configure("pcd", "apikeys", KEY + "\n")
    shutil.chown(manager.path(".config", "pcd", "apikeys"), "nobody")
    os.chmod(manager.path(".config", "pcd", "apikeys"), 0o400)
    manager.configure("pcd", "pcd.conf",
                      f"PCD_LISTEN=127.0.0.1:{pcd.port}\nPCD_DISK_RESERVE=1MiB\n")
    manager.install("pcd", extra=STRICT + extra)
    manager.ctl("start", "pcd")
    return pcd


def stored(manager, identifier):
    base = manager.path(".config", "pcd", "data", identifier)
    parts = []
    for name in sorted(os.listdir(base)) if os.path.isdir(base) else []:
        with open(os.path.join(base, name), "rb") as f:
            parts.append(f.read())
    return b"".join(parts)


def with_agent(manager, pcd, extra="", **options):
    manager.configure("pcc", "apikey", KEY + "\n")
    options = {"SERVER_URL": pcd.url, "IDENTIFIER": "agent", "FREQUENCY": "50ms",
               "BATCH_SIZE": "10", "SPOOL": "always",
               "SPOOL_DIR": f"{HOME}/.config/pcc/spool", **options}
    manager.configure("pcc", "pcc.conf",
                      "".join(f"PCC_{k}={v}\n" for k, v in options.items()))
    manager.install("pcc", extra=STRICT + extra)
    manager.ctl("start", "pcc")


def test_they_do_all_their_work_under_their_units():
    not_sanitized()
    with Manager() as manager:
        pcd = with_server(manager)
        with_agent(manager, pcd)
        # systemd waited for both to say that they are ready.
        for unit in UNITS:
            assert manager.show(unit, "SubState") == "running"
            assert manager.show(unit, "StatusText"), unit
        assert pcd.post(BATCH)[0] == 200
        body = gzip.compress(json.dumps(BATCH).encode())
        assert pcd.post(body, {"Content-Encoding": "gzip"})[0] == 200
        assert pcd.post(b"{", {})[0] == 400
        wait_for("the agent's batches",
                 lambda: stored(manager, "agent").count(b"\n") > 50)
        for unit in UNITS:
            manager.ctl("reload", unit)
        wait_for("the keys, again",
                 lambda: manager.unit_log("pcd").count("event=keys_loaded") == 2)
        # Each batch went through the disk, where the unit lets it.
        assert os.path.isdir(manager.path(".config", "pcc", "spool")), manager.unit_log("pcc")
        # What they may do is what the unit says: no privilege, nothing to be written.
        for unit in UNITS:
            pid = manager.pid(unit)
            with open(f"/proc/{pid}/status") as f:
                status = dict(t.rstrip("\n").split(":\t", 1) for t in f if ":\t" in t)
            assert status["Uid"].split()[0] == "65534" and status["Seccomp"] == "2", status
            assert int(status["CapBnd"], 16) == 0, status
            flags = os.statvfs(f"/proc/{pid}/root/usr").f_flag
            assert flags & os.ST_RDONLY, unit
        manager.ctl("stop", "pcc")
        manager.ctl("stop", "pcd")
        for unit in UNITS:
            assert manager.show(unit, "Result") == "success", manager.unit_log(unit)
            for word in ("not_confined", "descriptors_not_raised", "manager_not_told",
                         "connections_limited"):
                assert word not in manager.unit_log(unit), manager.unit_log(unit)
        assert stored(manager, "host") == lines(BATCH) * 2
        assert manager.unit_log("pcc").count("event=stopped") == 1


def test_they_come_back_by_themselves():
    not_sanitized()
    again = "RestartSec=100ms\n"
    with Manager() as manager:
        pcd = with_server(manager, again)
        with_agent(manager, pcd, again)
        assert pcd.post(BATCH)[0] == 200
        for unit in UNITS:
            old = manager.pid(unit)
            os.kill(old, signal.SIGKILL)
            wait_for(f"a new {unit}", lambda: manager.pid(unit) not in (0, old)
                     and manager.show(unit, "SubState") == "running")
        before = stored(manager, "agent").count(b"\n")
        wait_for("new batches", lambda: stored(manager, "agent").count(b"\n") > before)
        assert stored(manager, "host") == lines(BATCH)
        # But not from a mistake in their settings.
        manager.configure("pcc", "pcc.conf", "PCC_FREQUENCY=never\n")
        manager.ctl("restart", "pcc", check=False)
        wait_for("its failure", lambda: manager.show("pcc", "SubState") == "failed")
        time.sleep(0.5)
        assert manager.show("pcc", "SubState") == "failed"
        assert "PCC_FREQUENCY" in manager.unit_log("pcc")


def test_a_service_that_hangs_is_started_anew():
    not_sanitized()
    with Manager() as manager:
        pcd = with_server(manager, "WatchdogSec=1\nRestartSec=100ms\n")
        assert pcd.post(BATCH)[0] == 200
        old = manager.pid("pcd")
        os.kill(old, signal.SIGSTOP)
        wait_for("a new pcd", lambda: manager.pid("pcd") not in (0, old), 20)
        wait_for("its port", pcd.is_open)
        assert pcd.post(BATCH)[0] == 200


# What pcc sees


def seen(manager, name):
    """The sources in the collection of a unit: names and shapes of the last of each."""
    path = manager.path(".config", "pcc", name + ".json")

    def enough():
        if not os.path.exists(path):
            return None
        with open(path, "rb") as f:
            found, ticks = shapes(f.read())
        return found if len(ticks) >= 2 else None

    return wait_for("ticks of " + name, enough)


def sample(manager, name, extra="", text=None):
    options = (f"Environment=PCC_MODE=local PCC_FREQUENCY=1s 'PCC_SUBSYSTEMS={SOURCES}' "
               f"PCC_COLLECTION={HOME}/.config/pcc/{name}.json\n")
    if text:
        manager.write_unit(name, text, options + extra)
    else:
        manager.install("pcc", as_name=name, extra=STRICT + options + extra)
    manager.ctl("start", name)
    try:
        return seen(manager, name)
    finally:
        manager.ctl("stop", name, check=False)


def test_hardening_hides_no_source():
    not_sanitized()
    extra = image()
    points = ("/home", "/tmp") if extra else ()
    with Manager(extra, points) as manager:
        os.makedirs(manager.path(".config", "pcc"))
        shutil.chown(manager.path(".config", "pcc"), "nobody")
        plain = sample(manager, "plain", text="[Service]\n"
                       f"ExecStart={HOME}/bin/pcc\nEnvironment=PCC_DURATION=0\n")
        assert len(plain) == N_SOURCES, plain.keys()
        assert not extra or {m[0] for m in plain["statfs[*]"]} >= {"/home"}, plain
        assert sample(manager, "hardened") == plain
        # And what would hide some is found to: this test can tell.
        for setting, hidden in (
                ("ProcSubset=pid", "/proc/stat"), ("PrivateNetwork=yes", "/proc/net/dev"),
                ("ProtectProc=invisible", "/proc/1/stat"),
                *((("ProtectHome=yes", "statfs[/home]"),) if extra else ())):
            if setting == "PrivateNetwork=yes" and len(plain["/proc/net/dev"]) <= 3:
                continue  # there is nothing but the loopback outside either
            without = sample(manager, "hidden", setting + "\n")
            assert without.get(hidden) != plain[hidden], setting
            os.remove(manager.path(".config", "pcc", "hidden.json"))


if __name__ == "__main__":
    run(sys.modules[__name__])
