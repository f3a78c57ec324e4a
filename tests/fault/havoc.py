# SPDX-License-Identifier: MIT
"""What goes wrong in a run of the crash test, and when: all of it follows from the seed."""

import random
from collections import namedtuple

from relay import FAULTS as NETWORK_FAULTS

# From at_s on, for lasts_s: a kind of fault; the numbers of those it strikes; and what
# there is more to say of it.
Fault = namedtuple("Fault", "at_s lasts_s kind agents what")

# Rules for pcd's shim (shim_rules.h).
DISK_FULL = (
    ("disk 0",),
    ("disk 300000",),
    ("statvfs * free:0",),
    ("write * ENOSPC", "create * ENOSPC", "mkdir * ENOSPC"),
    ("write log/* short:1000 times 1", "write * ENOSPC"),
    ("write data/* ENOSPC after 3",),
)
DISK_SLOW = (
    ("sync * delay:30",),
    ("sync log/* delay:300",),
    ("write * delay:20",),
    ("any * delay:10",),
    ("rename * delay:200",),
)
DISK_FAILS = (
    ("sync log/* EIO times 1",),
    ("write log/* EIO times 1",),
    ("write log/* short:77 times 1", "write log/* EIO times 1"),
    ("sync data/* EIO times 1",),
    ("write data/* EIO times 1",),
    ("rename * EIO times 1",),
)
DISK_KILLS = tuple((f"{call} kill{after} after {n}",)
                   for call, n in (("any *", 0), ("any *", 7), ("sync *", 3),
                                   ("write log/*", 2), ("write data/*", 0), ("rename *", 0))
                   for after in ("", "-after"))


def _pcd(kind, *lasts_s):
    return lambda c, n: (c.choice(lasts_s) * c.random(), kind, (), None)


def _agents(kind, most, *lasts_s):
    return lambda c, n: (c.choice(lasts_s) * c.random(), kind,
                         tuple(c.sample(range(n), c.randint(1, min(most, n)))), None)


def _disk(kind, rules, lasts_s):
    return lambda c, n: (lasts_s * c.random(), kind, (), c.choice(rules))


def _network(c, n):
    fault = c.choice(NETWORK_FAULTS)
    after = c.randrange(2000) if fault == "cut-request" else c.randrange(3)
    strikes = c.choice((1, 3, n, n))
    return (c.choice((0.2, 1, 4)) * c.random(), "network",
            tuple(c.sample(range(n), min(strikes, n))), (fault, after))


# How often, of 100, and what.
_PICKS = (
    (18, _pcd("kill-pcd", 0, 0, 0.3, 2)),
    (4, _pcd("stop-pcd", 0.5, 2)),
    (5, _pcd("pause-pcd", 0.2, 1, 4)),
    (24, _agents("kill-agents", 5, 0, 0.1, 0.1, 2)),
    (4, _agents("stop-agents", 2, 1, 2)),
    (5, _agents("pause-agents", 5, 0.1, 0.5, 2)),
    (22, _network),
    (6, _disk("disk-full", DISK_FULL, 3)),
    (5, _disk("disk-slow", DISK_SLOW, 2)),
    (4, _disk("disk-fails", DISK_FAILS, 1)),
    (3, _disk("disk-kills", DISK_KILLS, 0.5)),
)
PAUSE_S = 0.25  # between two, on average


def plan(seed, seconds, n_agents):
    """The faults of a run, by the time at which they begin."""
    choices = random.Random(seed)
    faults = []
    at_s = 1.0  # all are up by then, or on their way
    while True:
        at_s += choices.expovariate(1 / PAUSE_S)
        _, pick = choices.choices(_PICKS, [weight for weight, _ in _PICKS])[0]
        fault = Fault(at_s, *pick(choices, n_agents))
        if at_s >= seconds:
            return faults
        faults.append(fault)
