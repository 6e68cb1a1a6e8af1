"""What processes that died left on this machine: their journals are settled before anybody releases what they held."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from yiapi.calls import store
from yiapi.calls.journal import journals_in, lock, lock_path
from yiapi.calls.nodes import machine_of
from yiapi.calls.settling import Settler
from yiapi.db import Transaction, connect
from yiapi.logs import get_logger

log = get_logger()


def settle_leftovers(database_url: str, folder: Path, name: str) -> None:
    """Settle the journals whose writers are gone, delete them, and end the leases of those nodes.

    Who holds a journal's lock lives. In a folder that machines share, another machine's journal is left alone as long
    as its node has a lease. Raises StorageUnavailable.
    """
    for owner, node_id in journals_in(folder):
        if machine_of(owner) != machine_of(name) and _has_lease(database_url, node_id):
            continue
        try:
            held = lock(lock_path(folder, owner, node_id))
        except OSError:  # its writer lives, or somebody else is at it
            continue
        try:
            settler = Settler(database_url, folder, owner, node_id)
            frames = settler.settle_all()
            settler.clean()
        finally:
            os.close(held)
        log.info("journal_taken_over", name=owner, node=node_id, frames=frames)


def _has_lease(database_url: str, node_id: str) -> bool:
    return _read(database_url, lambda tx: store.has_lease(tx, node_id))


def _read(database_url: str, job: Callable[[Transaction], bool]) -> bool:
    connection = connect(database_url)
    try:
        connection.begin(write=False)
        return job(Transaction(connection))
    finally:
        connection.rollback()
        connection.close()
