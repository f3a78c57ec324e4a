#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The agent in namespaces like those that its systemd unit asks for, made without systemd:
all that it reads is there as it is outside."""

import os
import re
import subprocess
import sys

from e2e import BUILD, PATIENCE, PCC, Skip, run
from sources import N_SOURCES, SOURCES, shapes

# What an option of the unit does to what a process sees, as systemd.exec(5) says, in a mount
# namespace of its own. The process may write below /run/pc.
SEEN = {
    "ProtectSystem=strict": """
        while read -r _ _ _ _ point _; do
            case $point in
            /dev | /dev/* | /proc | /proc/* | /sys | /sys/* | /run | /run/*) ;;
            *) mount -o remount,bind,ro "$(printf %b "$point")" ;;
            esac
        done </proc/self/mountinfo""",
    "PrivateDevices=yes": """
        mount -t tmpfs -o mode=755 tmpfs /run/dev
        for name in null zero full random urandom tty; do
            touch "/run/dev/$name"
            mount --bind "/dev/$name" "/run/dev/$name"
        done
        mount --rbind /run/dev /dev""",
    "ProtectKernelTunables=yes": "read_only /proc/sys; read_only /sys",
    "ProtectControlGroups=yes": "[ ! -d /sys/fs/cgroup ] || read_only /sys/fs/cgroup",
    "ProtectKernelLogs=yes": "[ ! -e /proc/kmsg ] || mount --bind /dev/null /proc/kmsg",
    "ProtectKernelModules=yes": "[ ! -d /usr/lib/modules ] || "
                                "mount -t tmpfs -o mode=000 tmpfs /usr/lib/modules",
    # Those that the unit does without, for they hide a source.
    "ProtectHome=yes": "mount -t tmpfs -o size=1m tmpfs /home",
    "PrivateTmp=yes": "mount -t tmpfs -o size=1m tmpfs /tmp",
    "PrivateNetwork=yes": "",
    "ProcSubset=pid": "mount -t proc -o subset=pid proc /proc",
    "ProtectProc=invisible": "mount -t proc -o hidepid=invisible proc /proc",
}
UNSHARED = {"PrivateNetwork=yes": "--net", "ProtectHostname=yes": "--uts"}
# Those that hide, and what.
HIDING = {
    "ProtectHome=yes": "statfs[/home]",
    "PrivateTmp=yes": "statfs[/tmp]",
    "PrivateNetwork=yes": "/proc/net/dev",
    "ProcSubset=pid": "/proc/stat",
    "ProtectProc=invisible": "/proc/1/stat",
}
# Options that change nothing of what is seen: users, privileges, calls, limits, life.
OTHERS = """
    Type ExecStart ExecReload Environment EnvironmentFile WatchdogSec TimeoutStopSec Restart
    RestartSec RestartPreventExitStatus User StateDirectory StateDirectoryMode
    RuntimeDirectory ConfigurationDirectory UMask LimitCORE LimitNOFILE MemoryMax TasksMax
    NoNewPrivileges CapabilityBoundingSet AmbientCapabilities ProtectClock
    RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID RemoveIPC
    LockPersonality MemoryDenyWriteExecute KeyringMode SocketBindDeny SystemCallArchitectures
    SystemCallFilter SystemCallErrorNumber""".split()
# A filesystem of a known size each where one may be hidden; the program, where nothing is.
START = r"""
read_only() { mount --rbind "$1" "$1" && mount -o remount,bind,ro "$1"; }
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/dev /run/pc
cp "$PROGRAM" /run/program
chown nobody /run/pc
mount -t tmpfs -o size=3m tmpfs /home
mount -t tmpfs -o size=5m,mode=1777 tmpfs /tmp
"""
LAST = r"""
setpriv --reuid nobody --regid nogroup --clear-groups --no-new-privs --bounding-set=-all \
    /run/program >&2
cat /run/pc/pcc.json
"""


def options_of_unit():
    """The options in the service's section that may be about namespaces, as NAME=VALUE."""
    with open(os.path.join(BUILD, "systemd", "pcc.service")) as f:
        section = f.read().split("[Service]\n")[1].split("\n[")[0]
    found = re.findall(r"^(\w+)=(.*)$", section, re.M)
    return [f"{name}={value}" for name, value in found if name not in OTHERS]


def see(options):
    """Lets the agent take some ticks. Return: the shapes of what it saw."""
    script = "\n".join(["set -eu", START, *(SEEN.get(o, "") for o in options), LAST])
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PROGRAM": PCC,
                   "PCC_MODE": "local", "PCC_FREQUENCY": "100ms", "PCC_DURATION": "1s",
                   "PCC_SUBSYSTEMS": SOURCES, "PCC_COLLECTION": "/run/pc/pcc.json"}
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private",
         *(UNSHARED[o] for o in options if o in UNSHARED), "sh", "-c", script],
        env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0, (options, done.stderr.decode())
    return shapes(done.stdout)[0]


def test_nothing_that_the_agent_reads_is_hidden_by_its_unit():
    if PATIENCE > 1:
        raise Skip("a sanitizer's own calls and memory are not what the unit is for")
    if os.geteuid() != 0:
        raise Skip("only root makes namespaces with filesystems as they are to be")
    made = subprocess.run(["unshare", "--mount", "--net", "--uts", "mount", "-t", "tmpfs",
                           "tmpfs", "/run"], capture_output=True, text=True)
    if made.returncode != 0:
        raise Skip(f"no namespaces here: {made.stderr.strip()}")
    options = options_of_unit()
    assert options and all(o in SEEN or o in UNSHARED for o in options), \
        f"say what these do, and whether they hide anything: {options}"
    outside = see([])
    assert len(outside) == N_SOURCES, outside.keys()
    assert see(options) == outside
    # What would hide a source is seen to.
    for option, hidden in HIDING.items():
        if option == "PrivateNetwork=yes" and len(outside["/proc/net/dev"]) <= 3:
            continue  # there is nothing but the loopback outside either
        assert see([*options, option]).get(hidden) != outside[hidden], option


run(sys.modules[__name__])
