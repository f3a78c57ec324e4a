# SPDX-License-Identifier: MIT
"""What the programs of the benchmark have in common: they install and build what they need,
and say on which machine they ran."""

import os
import re
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(SOURCE, "tests", "lib"))
sys.path.insert(0, os.path.join(SOURCE, "tests", "fault"))

# What is linked, by its name for pkg-config, and what it is called.
LIBRARIES = (("libcurl", "libcurl"), ("zlib", "zlib"), ("libdeflate", "libdeflate"),
             ("msgpack", "msgpack-c"), ("libmicrohttpd", "libmicrohttpd"), ("gnutls", "GnuTLS"))


_to_build = False


def choose_build():
    """Sets PC_BUILD, which e2e reads, where it isn't, to what prepare() builds."""
    global _to_build
    if "PC_BUILD" not in os.environ:
        os.environ["PC_BUILD"] = os.path.join(SOURCE, "build", "release")
        _to_build = True


def setup(script):
    """Runs a piece of bash that may use all of tests/lib/setup.sh; ends where that fails."""
    done = subprocess.run(["bash", "-euc", '. "$1/tests/lib/setup.sh"; cd "$1"; ' + script,
                           "bash", SOURCE], check=False)
    if done.returncode:
        sys.exit(1)


def prepare(*lists):
    """Installs what is missing, of setup.sh's lists that are named too, and builds
    build/release; what is given by PC_BUILD stays as it is."""
    choose_build()
    needed = " ".join(f'"${name}"' for name in ("NEEDED_TO_BENCH", *lists))
    script = f"install_missing {needed}"
    if _to_build:
        script += ('; install_missing "$NEEDED_TO_BUILD" "$NEEDED_TO_TEST"'
                   '; build build/release --buildtype=release')
    setup(script)


def first_line(argv):
    """What a program prints first; "" where there is no such program."""
    try:
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              cwd=SOURCE, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.split("\n")[0].strip() if done.returncode == 0 else ""


def processor():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = re.search(r"^model name\s*: (.*)$", f.read(), re.M)
    return model.group(1) if model else os.uname().machine


def machine():
    """The machine in one line."""
    return f"{processor()}, {os.cpu_count()} CPUs, Linux {os.uname().release}"


def distribution():
    try:
        with open("/etc/os-release", encoding="utf-8") as f:
            return re.search(r'^PRETTY_NAME="?(.*?)"?$', f.read(), re.M).group(1)
    except (FileNotFoundError, AttributeError):
        return "?"


def memory():
    with open("/proc/meminfo", encoding="utf-8") as f:
        return int(f.readline().split()[1]) * 1024


def disk(path):
    """The filesystem that a path lies on."""
    name = first_line(["stat", "--file-system", "--format=%T", path])
    return {"ext2/ext3": "ext4"}.get(name, name) or "?"


def versions():
    """Of compiler and libraries, as pairs."""
    found = [("compiler", first_line(["gcc", "--version"]))]
    for name, shown in LIBRARIES:
        found.append((shown, first_line(["pkg-config", "--modversion", name]) or "none"))
    return found


def commit():
    """The commit of the sources; + where they aren't quite it."""
    # The report itself lies among the sources, and is written anew by each run.
    changed = first_line(["git", "status", "--porcelain", "--", ".",
                          ":!tests/bench/RESULTS.md", ":!tests/bench/plots"])
    return (first_line(["git", "rev-parse", "--short=12", "HEAD"]) or "?") + ("+" if changed else "")
