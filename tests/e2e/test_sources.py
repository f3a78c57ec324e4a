#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What pcc reads is what is there, byte for byte: from a stand-in for / (PCC_ROOT), and
from this host's kernel."""

import json
import os
import random
import shutil
import sys
import time

from e2e import Pcc, captures, folder, run, wait_for, Skip

DEFAULTS = ["/proc/stat", "/proc/meminfo", "/proc/net/dev", "/proc/diskstats", "statfs[*]"]


class Root:
    """A folder that stands in for /."""

    def __init__(self, **files):
        self.path = folder()
        for name, text in files.items():
            self.write("/" + name.replace("__", "/"), text)

    def full(self, name):
        return self.path + name

    def write(self, name, text):
        """Puts a file in place at once, as something new under its name."""
        path = self.full(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path + ".new", "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        os.rename(path + ".new", path)


def usual_root():
    return Root(proc__stat="cpu  1 2 3\ncpu0 1 2 3\nctxt 5\n",
                proc__meminfo="MemTotal:        1024 kB\nMemFree:          512 kB\n",
                proc__net__dev="Inter-|\n    lo:  10 20\n",
                proc__diskstats="   8       0 sda 1 2 3\n",
                statfs='{"mount_point":"/","block_size":4096,"blocks_total":3,'
                       '"blocks_free":2,"blocks_available":1}\n')


def start(root=None, **options):
    if root:
        options["ROOT"] = root.path
    return Pcc(**{"FREQUENCY": "50ms", **options})


def ticks(pcc):
    """A list of (time, {subsystem: text}), in order."""
    found = {}
    for m in pcc.taken():
        key = (m["timestamp"], m.get("nanoseconds", 0))
        found.setdefault(key, {})[m["subsystem"]] = m["measurement"]
    return list(found.items())


def wait_tick(pcc, condition, what="a tick", seconds=20):
    """Waits for the next tick after now whose sources satisfy the condition."""
    seen = len(ticks(pcc))
    return wait_for(what, lambda: next((sources for _, sources in ticks(pcc)[seen + 1:]
                                        if condition(sources)), None), seconds)


def take(root=None, **options):
    """The sources of a few ticks; pcc ends well."""
    pcc = start(root, DURATION="500ms", **options)
    assert pcc.wait() == 0, pcc.log
    return [sources for _, sources in ticks(pcc)], pcc


def test_the_usual_sources_are_what_the_files_say():
    root = usual_root()
    found, pcc = take(root)
    assert len(found) >= 3
    for sources in found:
        assert list(sources) == DEFAULTS
        for name in DEFAULTS[:-1]:
            with open(root.full(name)) as f:
                assert sources[name] == f.read()
        with open(root.full("/statfs")) as f:
            assert sources["statfs[*]"] == f.read()
    for m in pcc.taken():
        assert list(m)[0] == "timestamp" and list(m)[-1] == "measurement"


def block_filesystems():
    """The mounts here that statfs[*] is about."""
    with open("/proc/filesystems") as f:
        types = [line.split()[0] for line in f if not line.startswith("nodev")]
    with open("/proc/self/mountinfo") as f:
        return [line for line in f if line.split(" - ")[1].split()[0] in types]


def test_the_usual_sources_are_there_on_this_host():
    found, _ = take()
    for sources in found:
        assert sources["/proc/stat"].startswith("cpu  ")
        assert sources["/proc/meminfo"].startswith("MemTotal:")
        assert ("statfs[*]" in sources) == bool(block_filesystems())


def test_lines_change_with_the_files():
    root = usual_root()
    pcc = start(root)
    for n in range(1, 5):
        text = f"cpu  {n}\n"
        root.write("/proc/stat", text)
        wait_tick(pcc, lambda sources: sources["/proc/stat"] == text, text)
    assert pcc.stop() == 0, pcc.log


def test_a_collection_of_lines_is_compact_and_in_order():
    root = Root(proc__odd="quote \" backslash \\ tab\tnewline\ncontrol \x01 é\n")
    pcc = start(root, SUBSYSTEMS="/proc/odd", DURATION="300ms", FREQUENCY="10ms")
    assert pcc.wait() == 0, pcc.log
    with open(pcc.options["COLLECTION"], "rb") as f:
        for text in f:
            again = json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
            assert again.encode() + b"\n" == text


def test_bytes_that_are_not_utf8_are_kept_beside():
    import base64
    odd = b"name \xff\xfe \xc3\n"
    found = []
    pcc = start(Root(proc__odd=odd), SUBSYSTEMS="/proc/odd", DURATION="300ms")
    assert pcc.wait() == 0, pcc.log
    for m in pcc.taken():
        if m["subsystem"] == "pcc/gap":  # a busy machine
            continue
        found.append(base64.b64decode(m["bytes"]))
        assert m["measurement"] == odd.decode("utf-8", "replace")
    assert found and set(found) == {odd}


def test_only_what_subsystems_names_is_read_in_its_order():
    root = usual_root()
    root.write("/etc/some file", "hello\n")
    found, _ = take(root, SUBSYSTEMS="/proc/meminfo,/etc/some file,/proc/stat")
    assert [list(sources) for sources in found] == \
        [["/proc/meminfo", "/etc/some file", "/proc/stat"]] * len(found)
    assert found[0]["/etc/some file"] == "hello\n"


def test_a_subsystem_that_cannot_be_is_refused_at_start():
    for wrong in ("proc/stat", "statfs", "statfs[relative]", "container/podman/*", "", ","):
        pcc = start(SUBSYSTEMS=wrong)
        assert pcc.wait() == 2, (wrong, pcc.log)
        assert "PCC_SUBSYSTEMS" in pcc.log or "--subsystems" in pcc.log, pcc.log


def test_a_source_that_vanishes_is_left_out_until_it_comes_back():
    root = usual_root()
    pcc = start(root)
    wait_tick(pcc, lambda sources: list(sources) == DEFAULTS)
    for _ in range(2):
        os.rename(root.full("/proc/meminfo"), root.full("/proc/away"))
        left = wait_tick(pcc, lambda sources: "/proc/meminfo" not in sources)
        assert list(left) == [name for name in DEFAULTS if name != "/proc/meminfo"]
        wait_tick(pcc, lambda sources: "/proc/meminfo" not in sources)
        os.rename(root.full("/proc/away"), root.full("/proc/meminfo"))
        wait_tick(pcc, lambda sources: list(sources) == DEFAULTS)
    assert pcc.stop() == 0, pcc.log
    # Said when it changed: twice gone, and no more than twice back.
    said = [text for text in pcc.lines if "/proc/meminfo" in text]
    assert 2 <= len(said) <= 4, said


def test_a_source_that_was_never_there_is_said_once():
    found, pcc = take(usual_root(), SUBSYSTEMS="/proc/stat,/proc/never")
    assert all(list(sources) == ["/proc/stat"] for sources in found)
    assert sum("/proc/never" in text for text in pcc.lines) == 1, pcc.log


def test_a_folder_or_a_pipe_is_no_source_and_holds_nothing_up():
    root = usual_root()
    os.mkfifo(root.full("/proc/pipe"))
    found, _ = take(root, SUBSYSTEMS="/proc/pipe,/proc/net,/proc/stat")
    assert found and all(list(sources) == ["/proc/stat"] for sources in found)


def stat_of(n_cpus):
    """A /proc/stat of a machine with many CPUs, and its long line of interrupts."""
    chance = random.Random(1)
    rows = [f"cpu{i if i >= 0 else ' '} " +
            " ".join(str(chance.randrange(10 ** 9)) for _ in range(10))
            for i in range(-1, n_cpus)]
    rows.append("intr " + " ".join(str(chance.randrange(10 ** 6)) for _ in range(12000)))
    rows += ["ctxt 123", "btime 1767813011", "processes 5"]
    return "\n".join(rows) + "\n"


def test_a_stat_of_400_cpus_is_whole():
    text = stat_of(400)
    assert len(text) > 100_000
    found, _ = take(Root(proc__stat=text), SUBSYSTEMS="/proc/stat")
    assert found and all(sources["/proc/stat"] == text for sources in found)


def test_a_file_that_grows_and_shrinks_is_whole_each_time():
    root = Root(proc__stat="small\n")
    pcc = start(root, SUBSYSTEMS="/proc/stat")
    for n_cpus in (1, 400, 0, 800, 2):
        text = stat_of(n_cpus)
        root.write("/proc/stat", text)
        wait_tick(pcc, lambda sources: sources["/proc/stat"] == text, f"{n_cpus} CPUs")
    root.write("/proc/stat", "")
    assert pcc.stop() == 0, pcc.log
    whole = {stat_of(n) for n in (1, 400, 0, 800, 2)} | {"small\n", ""}
    assert all(sources["/proc/stat"] in whole for _, sources in ticks(pcc))


def test_a_file_larger_than_a_batch_is_whole():
    text = stat_of(30000)
    assert len(text) > 2 << 20
    found, _ = take(Root(proc__stat=text), SUBSYSTEMS="/proc/stat", FREQUENCY="200ms")
    assert found and all(sources["/proc/stat"] == text for sources in found)


def test_one_filesystem_by_its_mount_point():
    root = usual_root()
    mounts = ['{"mount_point":"/","block_size":4096,"blocks_total":3,"blocks_free":2,'
              '"blocks_available":1}',
              '{"mount_point":"/srv","block_size":512,"blocks_total":30,"blocks_free":20,'
              '"blocks_available":10}']
    root.write("/statfs", "\n".join(mounts) + "\n")
    found, _ = take(root, SUBSYSTEMS="statfs[/srv],statfs[*]")
    for sources in found:
        assert sources["statfs[/srv]"].splitlines() == mounts[1:]
        assert sources["statfs[*]"].splitlines() == mounts


def test_filesystems_of_this_host_are_what_the_kernel_says():
    found, _ = take(SUBSYSTEMS="statfs[*]")
    if not found:
        raise Skip("no filesystem here lies on a block device")
    with open("/proc/filesystems") as f:
        block = {text.strip() for text in f if not text.startswith("nodev")} - {"squashfs"}
    devices, points = set(), []
    with open("/proc/self/mountinfo") as f:
        for text in f:
            fields = text.split()
            kind = fields[fields.index("-") + 1]
            if kind in block and fields[2] not in devices:
                devices.add(fields[2])
                points.append(fields[4])
    rows = [json.loads(text) for text in found[-1]["statfs[*]"].splitlines()]
    assert [row["mount_point"] for row in rows] == points
    for row in rows:
        said = os.statvfs(row["mount_point"])
        assert list(row) == ["mount_point", "block_size", "blocks_total", "blocks_free",
                             "blocks_available"]
        assert row["blocks_total"] == said.f_blocks
        assert row["block_size"] in (said.f_bsize, said.f_frsize)


def test_mounts_come_and_go_with_the_table():
    # No file `statfs` here: the mounts of ROOT/proc/1/mountinfo are asked, below ROOT.
    root = Root(proc__filesystems="nodev\ttmpfs\n\text4\n\txfs\n")
    os.makedirs(root.full("/mnt one"))
    os.makedirs(root.full("/two"))
    first = "21 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    more = (first + "22 21 8:2 / /mnt\\040one rw shared:1 - xfs /dev/sdb rw\n"
            "23 21 0:5 / /two rw - tmpfs tmpfs rw\n"
            "24 21 8:1 / /two rw - ext4 /dev/sda1 rw\n")

    def points(sources):
        return [json.loads(text)["mount_point"]
                for text in sources.get("statfs[*]", "").splitlines()]

    root.write("/proc/1/mountinfo", first)
    pcc = start(root, SUBSYSTEMS="statfs[*]")
    wait_tick(pcc, lambda sources: points(sources) == ["/"])
    root.write("/proc/1/mountinfo", more)
    wait_tick(pcc, lambda sources: points(sources) == ["/", "/mnt one"])
    root.write("/proc/1/mountinfo", first)
    wait_tick(pcc, lambda sources: points(sources) == ["/"])
    assert pcc.stop() == 0, pcc.log


CONTAINER = "7892fa5ced3d519c03dd549df61bf62d084d6a13aa185493b05259d75ce8b13d"
OTHER = "915c4f073051af76f9547d5bd56f5943063a9b0928e23c3dff44458f3eb12751"
CGROUP = {
    "cpu.max": "100000 100000\n",
    "cpu.stat": "usage_usec 657011267\nuser_usec 626480303\nsystem_usec 30530964\n"
                "nr_periods 7313\nnr_throttled 6191\nthrottled_usec 592180527\n"
                "nr_bursts 0\nburst_usec 0\n",
    "io.stat": "8:0 rbytes=282000 wbytes=6306193408 rios=7 wios=15130 dbytes=0 dios=0\n"
               "8:16 rbytes=624 wbytes=0 rios=3 wios=8 dbytes=0 dios=0\n",
    "memory.current": "498794496\n",
    "memory.max": "2147483648\n",
    "memory.stat": "anon 1994752\nfile 452734976\nkernel 44064768\nkernel_stack 1638400\n"
                   "slab_reclaimable 42270792\nslab_unreclaimable 1000000\nslab 43270792\n",
    "pids.current": "104\n",
    "pids.max": "19108\n",
}


def add_container(root, folder_name, files):
    for name, text in files.items():
        root.write(f"/sys/fs/cgroup/{folder_name}/{name}", text)


def test_containers_are_read_from_their_cgroups():
    root = usual_root()
    root.write("/sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n")
    add_container(root, f"system.slice/docker-{CONTAINER}.scope", CGROUP)
    add_container(root, "system.slice/ssh.service", CGROUP)
    unlimited = {**CGROUP, "cpu.max": "max 100000\n", "memory.max": "max\n",
                 "pids.max": "max\n", "io.stat": ""}
    add_container(root, f"docker/{OTHER}", unlimited)
    pcc = start(root, SUBSYSTEMS="container/docker/*,/proc/stat")
    one, two = ("container/docker/" + name[:12] for name in (CONTAINER, OTHER))
    both = wait_tick(pcc, lambda sources: one in sources and two in sources)
    assert len(both) == 3, list(both)
    m = json.loads(both[one])
    assert m == {
        "container_id": CONTAINER, "container_name": "", "cpu_period": 100000,
        "cpu_periods": 7313, "cpu_quota": 100000, "cpu_system_usec": 30530964,
        "cpu_throttled": 6191, "cpu_throttled_usec": 592180527, "cpu_usage_usec": 657011267,
        "cpu_user_usec": 626480303, "io_read_bytes": 282624, "io_read_ops": 10,
        "io_write_bytes": 6306193408, "io_write_ops": 15138, "memory_anon": 1994752,
        "memory_current": 498794496, "memory_file": 452734976, "memory_kernel": 44064768,
        "memory_max": 2147483648, "memory_slab": 43270792, "pids_current": 104,
        "pids_max": 19108, "runtime": "docker"}, m
    assert list(m) == sorted(m), "members in the order of the older system"
    assert both[one] == json.dumps(m, separators=(",", ":"))
    other = json.loads(both[two])
    assert other["io_read_bytes"] == 0 and other["container_id"] == OTHER

    # One ends, and is left out; the other goes on.
    shutil.rmtree(root.full(f"/sys/fs/cgroup/system.slice/docker-{CONTAINER}.scope"))
    wait_tick(pcc, lambda sources: one not in sources and two in sources)
    add_container(root, f"system.slice/docker-{CONTAINER}.scope", CGROUP)
    wait_tick(pcc, lambda sources: one in sources and two in sources)
    assert pcc.stop() == 0, pcc.log


def test_container_members_are_those_of_the_captures():
    path = os.path.join(captures(), "containers.jsonl")
    with open(path) as f:
        recorded = json.loads(json.loads(f.readline())["measurement"])
    root = usual_root()
    root.write("/sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n")
    add_container(root, f"system.slice/docker-{CONTAINER}.scope", CGROUP)
    found, _ = take(root, SUBSYSTEMS="container/docker/*")
    made = json.loads(found[-1]["container/docker/" + CONTAINER[:12]])
    assert list(made) == list(recorded)
    assert [type(v) for v in made.values()] == [type(v) for v in recorded.values()]


def test_the_timestamp_is_one_for_a_tick_and_in_whole_seconds_if_the_interval_is():
    pcc = start(usual_root(), FREQUENCY="1s", DURATION="3s")
    before = int(time.time())
    assert pcc.wait() == 0, pcc.log
    found = pcc.taken()
    assert found and all("nanoseconds" not in m for m in found)
    times = [m["timestamp"] for m in found[::len(DEFAULTS)]]
    assert times == list(range(times[0], times[0] + len(times))), times
    assert before <= times[0] <= times[-1] <= int(time.time())


if __name__ == "__main__":
    run(sys.modules[__name__])
