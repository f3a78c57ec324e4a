# SPDX-License-Identifier: MIT
"""The real systemd, for units under test: a second one, run as a user's manager by root, in
a mount namespace and a control group of its own. It does with a unit what the first one
does, as far as one service goes: user, namespaces, filters, notifications, restarts.
"""

import contextlib
import glob
import os
import re
import shutil
import subprocess

import e2e
from e2e import BUILD, Skip, content, folder, wait_for

SYSTEMD = "/usr/lib/systemd/systemd"
# As seen inside; its /run is its own.
HOME = "/run/pc"
GROUP = "pc-test-units"
RUNTIME = "/run/manager"  # not below /run/user, which ProtectHome= hides

# It looks at all processes of the group that it finds itself in: that must be its own, and
# no other hierarchy may be there to be touched. Arguments: groups and other hierarchies,
# each ended by --, then an image of a filesystem or nothing.
START = r"""
set -eu
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs"; shift; done
grep -q pc-test-units /proc/self/cgroup
shift
exec unshare --mount --propagation private bash -eu -c '
    while [ "$1" != -- ]; do umount "$1" || exit 1; shift; done
    shift
    mount -t tmpfs -o mode=755 tmpfs /run
    mkdir -p /run/systemd/system /run/systemd/unit-root "$XDG_RUNTIME_DIR"
    ln -s "$XDG_RUNTIME_DIR"/systemd/inaccessible /run/systemd/inaccessible
    mkdir -p "$HOME"/.config/systemd/user "$HOME"/bin
    for at in "${@:2}"; do mount -o loop "$1" "$at"; done
    exec "$SYSTEMD" --user --log-target=console' - "$@"
"""


def _groups():
    """The folders of the groups that systemd would take for its own, and the hierarchies
    that are none of its business."""
    paths, own, others = {}, [], []
    with open("/proc/self/cgroup") as f:
        for text in f:
            _, controllers, path = text.rstrip("\n").split(":", 2)
            paths[controllers] = path
    with open("/proc/self/mountinfo") as f:
        for text in f:
            fields, _, rest = text.partition(" - ")
            point, (kind, _, options) = fields.split()[4], rest.split(" ", 2)
            if kind == "cgroup2" and "" in paths:
                own.append(point + paths[""])
            elif kind == "cgroup" and "name=systemd" in options:
                own.append(point + paths.get("name=systemd", "/"))
            elif kind == "cgroup":
                others.append(point)
    return [os.path.join(p, f"{GROUP}-{os.getpid()}") for p in own], others


def _remove(group):
    for base, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # somebody still lives there
            os.rmdir(base)


def _remove_leftovers(groups):
    """Those of tests that were killed."""
    for path in groups:
        for old in glob.glob(os.path.join(os.path.dirname(path), GROUP + "-*")):
            if not os.path.exists("/proc/" + old.rsplit("-", 1)[1]):
                _remove(old)


class Manager:
    """Runs units. image: a filesystem to be mounted; at: where, in its namespace."""

    def __init__(self, image=None, at=()):
        if os.getuid() != 0:
            raise Skip("only root can give a manager its namespace")
        for program in (SYSTEMD, "/usr/bin/unshare", "/usr/bin/nsenter"):
            if not os.path.exists(program):
                raise Skip(f"there is no {program}")
        self.groups, others = _groups()
        _remove_leftovers(self.groups)
        try:
            for path in self.groups:
                os.mkdir(path)
        except OSError as why:
            self._remove_groups()
            raise Skip(f"no control group can be made: {why}")
        self.log = os.path.join(folder(), "systemd")
        env = e2e.clean_environment(HOME=HOME, XDG_RUNTIME_DIR=RUNTIME,
                                    SYSTEMD=SYSTEMD, PATH="/usr/sbin:/usr/bin:/sbin:/bin")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["bash", "-c", START, "-", *self.groups, "--", *others, "--",
                 *([image, *at] if image else [])],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        e2e._children.append(self.process)
        try:
            wait_for("systemd", self._is_running)
            for program in (e2e.PCC, e2e.PCD):
                shutil.copy(program, self.path("bin"))
            # As the first systemd's is: any user's service speaks to it.
            os.chmod(f"/proc/{self.process.pid}/root{RUNTIME}/systemd/notify", 0o777)
        except (AssertionError, OSError) as why:
            self.stop()
            raise Skip(f"systemd does not start here: {why} {self.said()[-300:]}")

    def _is_running(self):
        if self.process.poll() is not None:
            raise AssertionError(self.said())
        return self.ctl("is-system-running", check=False).strip() in ("running", "degraded")

    def said(self):
        with open(self.log, errors="replace") as f:
            return f.read()

    def path(self, *names):
        """A file below its HOME, as seen from outside."""
        return os.path.join(f"/proc/{self.process.pid}/root{HOME}", *names)

    def ctl(self, *args, check=True):
        done = subprocess.run(
            ["nsenter", "-t", str(self.process.pid), "-m", "systemctl", "--user", *args],
            env=e2e.clean_environment(XDG_RUNTIME_DIR=RUNTIME), timeout=120,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert not check or done.returncode == 0, \
            "\n".join([str(args), done.stdout, self.ctl("status", args[-1], check=False),
                       self.unit_log(args[-1]), self.said()])
        return done.stdout

    def install(self, name, as_name=None, extra=""):
        """A unit as it was built, run as nobody, with what a test needs to see."""
        with open(os.path.join(BUILD, "systemd", name + ".service")) as f:
            text = f.read()
        self.write_unit(as_name or name, re.sub(r"ExecStart=\S+/", f"ExecStart={HOME}/bin/",
                                                text), extra)

    def write_unit(self, name, text, extra=""):
        base = self.path(".config", "systemd", "user")
        with open(os.path.join(base, name + ".service"), "w") as f:
            f.write(text)
        os.makedirs(os.path.join(base, name + ".service.d"), exist_ok=True)
        with open(os.path.join(base, name + ".service.d", "test.conf"), "w") as f:
            f.write(f"[Service]\nUser=nobody\nStandardError=append:{HOME}/{name}.log\n"
                    + extra)
        self.ctl("daemon-reload")

    def configure(self, folder_name, name, text):
        os.makedirs(self.path(".config", folder_name), exist_ok=True)
        with open(self.path(".config", folder_name, name), "w") as f:
            f.write(text)

    def show(self, unit, what):
        return self.ctl("show", "--value", "-p", what, unit).strip()

    def pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def unit_log(self, name):
        return content(self.path(name + ".log")).decode()

    def stop(self):
        if self.process.poll() is None:
            self.ctl("exit", check=False)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._remove_groups()

    def _remove_groups(self):
        for path in self.groups:
            _remove(path)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
