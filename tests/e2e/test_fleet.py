#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Fifty agents to whom the same happens don't do the same at the same moment: what they
draw is looked at, not when they come."""

import re
import sys
import time

from e2e import Pcc, run, wait_for
from stub import Stub, old_ping_answer

AGENTS = 50
SPREAD_MS = 2000


def start(stub):
    return [Pcc(stub, IDENTIFIER=f"host-{i}", LOGLEVEL="DEBUG", SPREAD=f"{SPREAD_MS}ms",
                SUBSYSTEMS="/proc/uptime", BATCH_SIZE="1", FREQUENCY="500ms")
            for i in range(AGENTS)]


def draws(agents, after):
    """What each drew first after this, in ms."""
    return [int(pcc.wait_line(rf"event=spread after={after} wait_ms=(\d+)", 60).group(1))
            for pcc in agents]


def assert_spread(waits):
    assert all(0 <= wait < SPREAD_MS for wait in waits), waits
    # By chance none of 50 falls into a certain fifth once in 70,000 times.
    fifths = {wait * 5 // SPREAD_MS for wait in waits}
    assert len(fifths) == 5, sorted(waits)


def sessions(stub):
    return len({request.key[0] for request in list(stub.requests)})


def test_a_fleet_that_starts_and_a_fleet_that_returns_are_spread():
    stub = Stub(ping=old_ping_answer)  # its batches aren't in delta, which takes it long
    agents = start(stub)
    assert_spread(draws(agents, "start"))
    wait_for("all agents", lambda: sessions(stub) == AGENTS, 60)
    stub.close()
    for pcc in agents:
        pcc.wait_line("event=delivery_failed", 60)
    time.sleep(1)
    back = Stub(ping=old_ping_answer, port=stub.port)
    assert_spread(draws(agents, "outage"))
    wait_for("all agents", lambda: sessions(back) == AGENTS, 120)
    # And the tries in between were put off at random, each for itself.
    waits = [int(wait) for pcc in agents
             for wait in re.findall(r"event=delivery_failed .*retry_ms=(\d+)", pcc.log)]
    assert len(set(waits)) > AGENTS / 2, waits
    for pcc in agents:
        assert pcc.stop() == 0, pcc.log
    back.close()


run(sys.modules[__name__])
