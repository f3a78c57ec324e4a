#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts the results that `meson test` left in a build folder, subtests one by one.

    summary.py FOLDER/meson-logs/testlog

prints `PASSED FAILED SKIPPED`, then a line for each that failed, and on stderr what
those had to say.
"""

import json
import os
import sys
import xml.etree.ElementTree as ElementTree

BAD = ("FAIL", "TIMEOUT", "INTERRUPT", "ERROR", "UNEXPECTEDPASS")
# Lines of a program that failed without a word about which test.
TAIL = 30


def short(name):
    """Meson's `project:suite / name`, or JUnit's `project.name`, without what goes before."""
    return name.split(" / ")[-1].removeprefix("perfcollector.")


def subtests(path):
    """The tests of a JUnit file as (program, name, result)."""
    for suite in ElementTree.parse(path).iter("testsuite"):
        for case in suite.iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                result = "failed"
            elif "skipped" in kinds:
                result = "skipped"
            else:
                result = "passed"
            yield short(suite.get("name")), case.get("name"), result


def programs(path):
    """The test programs of Meson's own log."""
    with open(path, encoding="utf-8") as f:
        for line in f:
            yield json.loads(line)


def details(stdout):
    """Of TAP: the lines of each test that failed; of anything else the end."""
    found, shown = [], False
    for line in stdout.splitlines():
        if not line.startswith("#"):
            shown = line.startswith("not ok")
        if shown:
            found.append(line)
    return found or stdout.splitlines()[-TAIL:]


def main(base):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    failures = []
    if not os.path.exists(base + ".junit.xml"):
        print("0 1 0", "no test ran: `meson test --list` has their names", sep="\n")
        return
    for program, name, result in subtests(base + ".junit.xml"):
        counts[result] += 1
        if result == "failed":
            failures.append((program, name))
    for test in programs(base + ".json"):
        if test["result"] not in BAD:
            continue
        program = short(test["name"])
        print(f"{program}:", *details(test.get("stdout") or ""), sep="\n    ", file=sys.stderr)
        # It can fail without a subtest that did: a crash, a leak, a time-out.
        if not any(failed == program for failed, _ in failures):
            counts["failed"] += 1
            failures.append((program, test["result"]))
    print(counts["passed"], counts["failed"], counts["skipped"])
    for program, name in failures:
        print(f"{program}: {name}")


if __name__ == "__main__":
    main(sys.argv[1])
