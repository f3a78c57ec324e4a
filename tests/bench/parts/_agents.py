# SPDX-License-Identifier: MIT
"""What parts about the agent share."""

import os

import e2e

STATIC = os.path.join(e2e.SOURCE, "build", "static", "pcc", "pcc")


def builds():
    """Those of pcc that there are: how it was linked, and the program."""
    found = [("dynamic", e2e.PCC)]
    if os.path.exists(STATIC):
        found.append(("static", STATIC))
    return found
