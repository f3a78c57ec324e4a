#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The table of bytes can be made of anything that pcc records."""

import os
import re
import shutil
import subprocess
import sys

from e2e import BUILD, Pcc, Skip, SOURCE, clean_environment, run, wait_for

ENCODINGS = ("delta, building on the batch before", "delta, the snapshot before those",
             "delta, each batch standing alone", "MessagePack", "JSON")
CODINGS = ("plain", "gzip -1", "gzip -6", "gzip -9")


def record():
    """A collection of at least three batches. Returns its path."""
    pcc = Pcc(FREQUENCY="10ms",
              SUBSYSTEMS="/proc/stat,/proc/meminfo,/proc/loadavg,/proc/vmstat,/proc/uptime")
    wait_for("three batches", lambda: len(pcc.taken()) >= 300)
    assert pcc.stop() == 0, pcc.log
    return pcc.options["COLLECTION"]


def test_a_recorded_collection_gets_every_row_of_the_table():
    for program in ("xz", "zstd"):
        if not shutil.which(program):
            raise Skip(f"no {program}")
    done = subprocess.run([os.path.join(SOURCE, "tests", "bench", "bytes"), "--runs", "1",
                           record()], env=clean_environment(PC_BUILD=BUILD),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for encoding in ENCODINGS:
        for coding in CODINGS:
            assert re.search(rf"^{encoding} +{coding}[ *] +[0-9,]+ +[0-9.]+( +[0-9.-]+){{6}}$",
                             done.stdout, re.M), (encoding, coding, done.stdout)
    for whole in ("zstd -19", "xz -9e"):
        assert re.search(rf"^the whole file, {whole} +[0-9,]+ +[0-9.]+$", done.stdout, re.M), \
            (whole, done.stdout)


if __name__ == "__main__":
    run(sys.modules[__name__])
