#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcd stays up and correct under many clients at once.

PC_LOAD_SECONDS says for how long (10; 30 in a sanitizer build).
"""

import os
import subprocess
import sys

from e2e import KEY, LOAD, PATIENCE, Pcd, clean_environment, run

SECONDS = int(os.environ.get("PC_LOAD_SECONDS") or (30 if PATIENCE > 1 else 10))


def load(pcd, seconds, *argv):
    """Runs the generator with a check of the store; all it does must succeed."""
    done = subprocess.run(
        [LOAD, "--server", pcd.url, "--key", KEY, "--seconds", str(seconds),
         "--check", pcd.home, *argv],
        env={k: v for k, v in clean_environment().items() if not k.startswith("PC_LOAD_")},
        timeout=(seconds + 120) * PATIENCE, capture_output=True, text=True)
    print("# " + done.stdout.replace("\n", "\n# "), flush=True)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{pcd.log}"
    return done.stdout


def test_200_clients_at_once_lose_nothing():
    pcd = Pcd()
    # Small batches: many, and the log's limit stays out of it.
    load(pcd, SECONDS, "--clients", "200", "--measurements", "1")
    metrics = pcd.metrics()
    assert metrics["pcd_connections_accepted_total"] >= 200
    assert metrics["pcd_hosts"] == 200
    assert pcd.stop() == 0, pcd.log


def test_every_form_under_load():
    pcd = Pcd()
    for number, (form, gzip) in enumerate((("json", "yes"), ("json", "no"),
                                           ("msgpack", "yes"), ("msgpack", "no"),
                                           ("delta", "yes"), ("delta", "no"))):
        load(pcd, 20, "--clients", "20", "--batches", "25", "--form", form,
             f"--gzip={gzip}", "--prefix", f"form-{number}")
    assert pcd.stop() == 0, pcd.log


if __name__ == "__main__":
    run(sys.modules[__name__])
