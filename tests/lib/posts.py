# SPDX-License-Identifier: MIT
"""Batches like no others, and posts of them that must end in a certain way."""

from e2e import keyed, measurements

SESSION = 0x0123456789abcdef
NOON = 1767787200  # 2026-01-07T12:00:00Z


def batch(identifier, seq, n=3, start=NOON, filler=0):
    """A batch like no other."""
    return {"identifier": identifier, "measurements": measurements(
        n, start + seq * 10, f"{identifier} {seq}\n" + "x" * filler)}


def stored(pcd, b, *key, connection=None):
    """Posts a batch that must be stored now."""
    status, headers, answer = pcd.post(b, keyed(*key) if key else None, connection)
    assert status == 200, (status, answer)
    assert "Idempotent-Replayed" not in headers, headers.items()
    assert headers["Measurements-Stored"] == str(len(b["measurements"])), headers.items()


def replayed(pcd, b, *key):
    """Posts a batch that must have been stored before."""
    status, headers, answer = pcd.post(b, keyed(*key))
    assert status == 200, (status, answer)
    assert headers["Idempotent-Replayed"] == "true", headers.items()
    assert headers["Measurements-Stored"] is None
