#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The client of proto/examples, which knows nothing of ours, sends deltas to a pcd that is
killed and started anew; what is stored is what it sent."""

import os
import sys
import time

from e2e import SOURCE, Pcd, Program, clean_environment, folder, free_port, run

CLIENT = os.path.join(SOURCE, "proto", "examples", "send_delta.py")


def test_the_example_client_gets_all_stored_though_pcd_is_killed():
    port, home = free_port(), folder()
    pcd = Pcd(home=home, port=port)
    collection = os.path.join(home, "sent.json")
    client = Program(["/usr/bin/python3", CLIENT, "--server", pcd.url, "--apikey-file",
                      os.path.join(home, "apikeys"), "--identifier", "example", "--interval",
                      "0.01", "--ticks", "300", "--batch", "10", "--collection", collection],
                     clean_environment())
    conflicts = 0
    for _ in range(2):
        time.sleep(1)
        conflicts += pcd.metrics()["pcd_delta_conflicts_total"]
        pcd.kill()
        pcd = Pcd(home=home, port=port)
    assert client.wait(60) == 0, client.log
    conflicts += pcd.metrics()["pcd_delta_conflicts_total"]
    with open(collection, "rb") as f:
        sent = f.read()
    assert sent.count(b"\n") == 300 * 4, sent.count(b"\n")
    assert pcd.wait_stored("example", 300 * 4) == sent
    assert pcd.metrics()["pcd_delta_states"] == 1
    assert pcd.stop() == 0


if __name__ == "__main__":
    run(sys.modules[__name__])
