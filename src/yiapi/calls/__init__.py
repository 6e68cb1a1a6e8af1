"""Calls: reserving for them and ending them; their records, idempotency, and the nodes they run on.

A call is reserved below an allowance, in memory, and ends in the journal, whose settler writes it into the books; or it
has two transactions of its own: ``accept`` (hold and idempotency claim together) and ``finish`` (settlement together
with the record, its attempts, the claim's end and whatever rows the result has). The nodes are here too, because what a
dead node had accepted is ended by the others. The reasons are in docs/decisions/0005-allowances-and-journal.md.
"""

from yiapi.calls.beside import AnySettler, SettlerProcess, SettlerThread, journal_folder
from yiapi.calls.journal import Journal
from yiapi.calls.leftovers import settle_leftovers
from yiapi.calls.models import Attempt, Claim, Ending, Finished, Record, Replay
from yiapi.calls.nodes import Node, node_name
from yiapi.calls.purse import Draw
from yiapi.calls.recall import call_in
from yiapi.calls.service import Calls
from yiapi.calls.settling import Settler
from yiapi.calls.tending import Tending

__all__ = [
    "AnySettler",
    "Attempt",
    "Calls",
    "Claim",
    "Draw",
    "Ending",
    "Finished",
    "Journal",
    "Node",
    "Record",
    "Replay",
    "Settler",
    "SettlerProcess",
    "SettlerThread",
    "Tending",
    "call_in",
    "journal_folder",
    "node_name",
    "settle_leftovers",
]
