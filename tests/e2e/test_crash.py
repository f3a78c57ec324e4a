#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""pcd is killed under load, again and again, and sometimes asked to stop: what it answered
with 200 is there, once and whole; what it did not answer is there once and whole, or not at
all; and a retry of everything adds only what was missing.

PC_CRASH_KILLS says how often (50), PC_CRASH_SEED repeats a run's choices.
"""

import os
import random
import sys
import time

from clients import Client, found
from e2e import KEY, Pcd, folder, free_port, run, wait_for

KILLS = int(os.environ.get("PC_CRASH_KILLS", "50"))
SEED = int(os.environ.get("PC_CRASH_SEED") or random.SystemRandom().randrange(1 << 32))
CLIENTS = 4
# The log rolls and checkpoints come often.
OPTIONS = {"LOG_MAX": "16MiB", "CHECKPOINT_INTERVAL": "1s"}


def kill_and_restart(home, port, choices, times, **options):
    """Kills pcd at random moments and starts it again; returns the last one, running."""
    while times > 0:
        pcd = Pcd(home=home, port=port, wait=False, **options)
        if choices.random() < 0.2:
            # Wherever it is: loading, recovering, opening the port.
            time.sleep(choices.uniform(0, 0.1))
        else:
            pcd.wait_line("event=listening", 60)
            # Some live long enough to make checkpoints.
            time.sleep(choices.choice((0.01, 0.1, 0.1, 0.1, 0.3, 0.3, 1.5)) * choices.random())
            if choices.random() < 0.1:
                assert pcd.stop() == 0, pcd.log
                continue
        pcd.kill()
        times -= 1
    return Pcd(home=home, port=port, **options)


def crash(times, **options):
    choices = random.Random(SEED)
    home, port = folder(), free_port()
    with open(os.open(os.path.join(home, "apikeys"), os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
        f.write(KEY + "\n")
    clients = [Client(i, port, choices.random()) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    pcd = kill_and_restart(home, port, choices, times, **options)
    for client in clients:
        client.ended.set()
        client.join()
        assert client.failure is None, client.failure
        client.disconnect()
    assert pcd.stop() == 0, pcd.log

    sent = sum(len(c.batches) for c in clients)
    answered = sum(len(c.answered) for c in clients)
    print(f"# seed {SEED}: {times} kills, {sent} batches sent, {answered} answered")
    assert answered >= times, "too little load to prove anything"
    present = {}
    for client in clients:
        count = present[client] = found(pcd, client)
        assert max(count) <= 1, [seq for seq, n in enumerate(count) if n > 1]
        lost = [seq for seq in client.answered if count[seq] == 0]
        assert not lost, (client.identifier, lost)

    # Everything once more: what is there is known, the rest is stored now.
    pcd = Pcd(home=home, port=port, **options)
    for client in clients:
        for seq in range(1, len(client.batches) + 1):
            # All at once may be more than its small log takes: then it says so for a moment.
            headers = wait_for("an answer", lambda: client.post(seq, pcd.port), 30)
            assert ("Idempotent-Replayed" in headers) == (present[client][seq] == 1), seq
    assert pcd.stop() == 0, pcd.log
    for client in clients:
        assert found(pcd, client)[1:] == [1] * len(client.batches), client.identifier


def test_kills_under_load_lose_nothing_and_repeat_nothing():
    crash(KILLS, **OPTIONS)


def test_kills_lose_nothing_that_was_written_with_sync_interval():
    crash(max(KILLS // 5, 5), SYNC="interval", **OPTIONS)


if __name__ == "__main__":
    run(sys.modules[__name__])
