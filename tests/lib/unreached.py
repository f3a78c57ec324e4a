# SPDX-License-Identifier: MIT
"""Prints which lines of the decoders no test reached, out of a report of gcovr.

    unreached.py REPORT.json EXPLAINED

EXPLAINED has a reason for lines that nothing can reach: `FILE: the line's text`, and the
reason on the next line, indented. The status is 1 if a line is neither reached nor
explained, or explained though it is reached or gone.
"""

import json
import re
import sys

# What takes bytes apart that come from outside.
DECODERS = re.compile(
    r"common/(base64|delta|gzip|json|msgpack|opt_file|opt_text|shape|utf8|cursor)[a-z_]*\.c"
    r"|pcd/(log_reader|keys_file|keys_sorted|key_set|glob|auth|head)\.c"
    r"|pcc/(answer|form|mounts|mark|cgroup|spool_file)\.c")


def read_explained(path):
    explained = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith(("#", " ")) or not line.strip():
                continue
            explained[tuple(line.rstrip("\n").split(": ", 1))] = False
    return explained


def read_counts(file):
    """Of each line with code; the highest, for one stands in several programs."""
    counts = {}
    for line in file["lines"]:
        if not line.get("gcovr/noncode"):
            number = line["line_number"]
            counts[number] = max(counts.get(number, 0), line["count"])
    return counts


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        report = json.load(f)
    explained = read_explained(sys.argv[2])
    wrong = 0
    for file in sorted(report["files"], key=lambda f: f["file"]):
        name = file["file"]
        if not DECODERS.fullmatch(name):
            continue
        counts = read_counts(file)
        with open(name, encoding="utf-8") as f:
            source = f.read().split("\n")
        missed = [(n, source[n - 1].strip()) for n, count in sorted(counts.items()) if not count]
        print(f"{name:28} {len(counts) - len(missed):4} of {len(counts):4} lines")
        for number, text in missed:
            if (name, text) in explained:
                explained[name, text] = True
            else:
                wrong += 1
                print(f"    {number}: {text}")
    for name, text in (key for key, used in explained.items() if not used):
        wrong += 1
        print(f"explained, but reached or gone: {name}: {text}")
    print(f"{wrong} lines to look at" if wrong else "every line is reached, or explained")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
