# SPDX-License-Identifier: MIT
"""What parts about the agent share."""

import os

import e2e

SMALL = os.path.join(e2e.SOURCE, "build", "small", "pcc", "pcc")
STATIC = os.path.join(e2e.SOURCE, "build", "static", "pcc", "pcc")

# The dynamic pcc that is given away, where tests/release has built it.
DYNAMIC = SMALL if os.path.exists(SMALL) else e2e.PCC


def builds():
    """Those of pcc that there are: how it was linked, and the program."""
    found = [("dynamic", DYNAMIC)]
    if os.path.exists(STATIC):
        found.append(("static", STATIC))
    return found


def which():
    """What to say of them in a report."""
    if DYNAMIC == SMALL:
        return "pcc is the one that is given away, as `tests/release` builds it."
    return "pcc is built to be fast, not small: `tests/release` was not run before."
