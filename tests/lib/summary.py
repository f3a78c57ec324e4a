#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts the results that `meson test` left in a build folder, subtests one by one.

    summary.py FOLDER/meson-logs/testlog

prints `PASSED FAILED SKIPPED`, and on stderr the name of each that failed.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree

BAD = ("FAIL", "TIMEOUT", "INTERRUPT", "ERROR", "UNEXPECTEDPASS")


def subtests(path):
    """The tests of a JUnit file as (suite, name, result)."""
    for suite in ElementTree.parse(path).iter("testsuite"):
        for case in suite.iter("testcase"):
            kinds = {child.tag for child in case}
            if kinds & {"failure", "error"}:
                result = "failed"
            elif "skipped" in kinds:
                result = "skipped"
            else:
                result = "passed"
            yield suite.get("name"), case.get("name"), result


def programs(path):
    """The test programs of Meson's own log as (name, result)."""
    with open(path, encoding="utf-8") as f:
        for line in f:
            test = json.loads(line)
            yield test["name"].split(" / ")[-1], test["result"]


def main(base):
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    suites_with_failures = set()
    for suite, name, result in subtests(base + ".junit.xml"):
        counts[result] += 1
        if result == "failed":
            suites_with_failures.add(suite)
            print(f"{suite}: {name}", file=sys.stderr)
    # A program can fail without a subtest that did: a crash, a leak, a time-out.
    for name, result in programs(base + ".json"):
        if result in BAD and not any(s.endswith(name) for s in suites_with_failures):
            counts["failed"] += 1
            print(f"{name}: {result}", file=sys.stderr)
    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main(sys.argv[1])
