"""What a batch changes, collected so that each account, budget and table is written once."""

from __future__ import annotations

from yiapi.db import Row, Transaction
from yiapi.ledger import store
from yiapi.ledger.models import mode_of

CAPTURE_ORDINAL, ABOVE_ORDINAL, UNCOVERED_ORDINAL = range(3)


class Movements:
    """Postings, resolutions, and what they do to balances, all at one time."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._accounts: dict[str, list[int]] = {}
        self._budgets: dict[tuple[str, str], list[int]] = {}
        self._postings: list[dict[str, object]] = []
        self._resolutions: list[dict[str, object]] = []

    def account(self, account: str, *, posted: int = 0, held: int = 0, captured: int = 0) -> None:
        """Change the balances of an account by these differences."""
        sums = self._accounts.get(account)
        if sums is None:
            self._accounts[account] = [posted, held, captured]
        else:
            sums[0] += posted
            sums[1] += held
            sums[2] += captured

    def budget(self, key_id: str, period: str, *, held: int, spent: int) -> None:
        """Change what a key has held and spent in a period by these differences."""
        sums = self._budgets.setdefault((key_id, period), [0, 0])
        sums[0] += held
        sums[1] += spent

    def post(
        self,
        reference: str,
        kind: str,
        source: str,
        destination: str,
        amount: int,
        *,
        ordinal: int = 0,
        corrects: str | None = None,
        hold_id: str | None = None,
    ) -> None:
        """Add a posting; the balances of its two accounts are moved with ``account``."""
        self._postings.append(
            {
                "reference": reference,
                "ordinal": ordinal,
                "kind": kind,
                "source": source,
                "destination": destination,
                "amount": amount,
                "corrects": corrects,
                "hold_id": hold_id,
                "now": self._now,
            }
        )

    def resolve(self, hold: Row, kind: str, *, freed: int, within: int = 0, above: int = 0, uncovered: int = 0) -> None:
        """End a hold: ``within`` of it is captured, ``freed`` no longer reserved, and its key's budget moves alike.

        What is ``above`` the hold was taken from the wallet before (``store.debit``).
        """
        paid = within + above
        self.account(hold["wallet"], posted=-within, held=-freed, captured=paid)
        if hold["key_id"] is not None:
            self.budget(hold["key_id"], hold["budget_period"], held=-hold["amount"], spent=paid)
        self._resolutions.append(
            {
                "hold_id": hold["id"],
                "kind": kind,
                "captured": within,
                "above": above,
                "uncovered": uncovered,
                "now": self._now,
            }
        )
        if paid + uncovered:
            self._post_charge(hold, within, above, uncovered)

    def _post_charge(self, hold: Row, within: int, above: int, uncovered: int) -> None:
        wallet, mode = hold["wallet"], mode_of(hold["wallet"])
        revenue, loss = f"revenue:{mode}", f"loss:{mode}"
        self.account(revenue, posted=within + above + uncovered)
        if within:
            self.post(hold["id"], "capture", wallet, revenue, within, ordinal=CAPTURE_ORDINAL)
        if above:
            self.post(hold["id"], "capture", wallet, revenue, above, ordinal=ABOVE_ORDINAL)
        if uncovered:
            self.account(loss, posted=-uncovered)
            self.post(hold["id"], "uncovered", loss, revenue, uncovered, ordinal=UNCOVERED_ORDINAL)

    def write(self, tx: Transaction) -> None:
        """Write everything, resolutions first: their primary key is what admits no second one."""
        if self._resolutions:
            store.insert_resolutions(tx, self._resolutions)
            store.close_holds(tx, [str(row["hold_id"]) for row in self._resolutions])
        store.insert_postings(tx, self._postings)
        store.move_accounts(
            tx,
            [
                {"id": account, "posted": posted, "held": held, "captured": captured}
                for account, (posted, held, captured) in sorted(self._accounts.items())
            ],
        )
        store.move_budgets(
            tx,
            [
                {"key_id": key_id, "period": period, "held": held, "spent": spent}
                for (key_id, period), (held, spent) in sorted(self._budgets.items())
            ],
        )
