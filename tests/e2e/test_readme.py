#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the README shows works as it stands there."""

import os
import re
import subprocess
import sys
import textwrap

from e2e import KEY, PCC, PCD, Pcd, SOURCE, clean_environment, run


def readme():
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as f:
        return f.read()


def example(name):
    """The indented block after the comment that names it."""
    found = re.search(rf"<!-- example: {name} -->\n((?:    .*\n|\n)+)", readme())
    assert found, name
    return textwrap.dedent(found.group(1))


def send_example(name, command):
    pcd = Pcd()
    done = subprocess.run([*command, example(name)], capture_output=True, text=True,
                          env=clean_environment(URL=pcd.url, KEY=KEY), timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == '{"error":null}', done.stdout
    assert b'"subsystem":"/proc/loadavg"' in pcd.wait_stored("from-" + name, 1)
    assert pcd.stop() == 0


def test_the_shell_example_stores_a_batch():
    send_example("curl", ["bash", "-c"])


def test_the_python_example_stores_a_batch():
    send_example("python", ["/usr/bin/python3", "-c"])


def test_each_fault_is_shown_by_a_test_that_exists_by_its_place():
    table = re.search(r"\| fault \|.*\n\| ---.*\n((?:\|.*\n)+)", readme()).group(1)
    for row in table.splitlines():
        cell = row.split("|")[-2]
        names = re.findall(r"`([^`]+)`", cell)
        assert names and not re.sub(r"`[^`]+`", "", cell).strip(), row
        for name in names:
            # By folder and name, for some names are there twice.
            assert re.fullmatch(r"(unit|e2e|fault)/test_[a-z0-9_]+\.(py|c)", name), name
            assert os.path.isfile(os.path.join(SOURCE, "tests", name)), name


def check_options(program, prefix):
    """Every option of --help stands in the README's table with its default, and none
    stands there that doesn't exist."""
    shown = subprocess.run([program, "--check-config"], capture_output=True, text=True,
                           env=clean_environment(), check=False).stdout
    exist = set(re.findall(rf"^{prefix}([A-Z_0-9]+)=", shown, re.M))
    told = set(re.findall(rf"^\| `{prefix}([A-Z_0-9]+)` \|", readme(), re.M))
    assert exist, shown
    assert exist == told, f"missing: {exist - told}, too many: {told - exist}"


def test_the_table_of_pcc_has_its_options():
    check_options(PCC, "PCC_")


def test_the_table_of_pcd_has_its_options():
    check_options(PCD, "PCD_")


if __name__ == "__main__":
    run(sys.modules[__name__])
