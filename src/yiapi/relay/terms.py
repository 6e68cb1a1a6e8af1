"""What holds for every call of one key to one model: worked out once, and kept until keys, prices or switches change.

The checks of ``agree`` ask only things that a snapshot knows. A snapshot is exchanged as a whole and never changed, so
whether terms still hold is a question of identity.
"""

from __future__ import annotations

from collections.abc import Mapping

from yiapi.apikeys import ApiKeys, Key
from yiapi.errors import ModelNotFound
from yiapi.ledger import wallet_of
from yiapi.pricing import PriceBook, Pricing, Switches
from yiapi.providers.registry import Served

KEPT_MAX = 4096
"""Callers choose model names, so what is kept has an end."""


class Terms:
    """What was agreed, and with which snapshots. ``multiplier`` is the account's price group's, in millionths."""

    __slots__ = ("book", "key", "multiplier", "multipliers", "switched", "wallet")

    def __init__(
        self,
        key: Key,
        book: PriceBook,
        multipliers: Mapping[str, int],
        switched: object,
        multiplier: int,
        wallet: str,
    ) -> None:
        self.key = key
        self.book = book
        self.multipliers = multipliers
        self.switched = switched
        self.multiplier = multiplier
        self.wallet = wallet


class AllTerms:
    """The terms of this process."""

    def __init__(self, apikeys: ApiKeys, pricing: Pricing, switches: Switches) -> None:
        self._apikeys = apikeys
        self._pricing = pricing
        self._switches = switches
        self._kept: dict[tuple[str, str, str], Terms] = {}

    def of(self, served: Served, key: Key, model: str, peer: str | None) -> Terms:
        """Return what holds for a call. Raises ModelNotFound, PermissionDenied, ModelNotAllowed, OperationDisabled."""
        kept = self._kept.get((served.name, key.id, model))
        pricing = self._pricing
        if (
            kept is not None
            and kept.key is key
            and kept.book is pricing.book
            and kept.multipliers is pricing.multipliers
            and kept.switched is self._switches.state
        ):
            return kept
        return self._agree(served, key, model, peer)

    def _agree(self, served: Served, key: Key, model: str, peer: str | None) -> Terms:
        assert key.account is not None
        provider, pricing, book = served.provider.slug, self._pricing, self._pricing.book
        if not book.knows(provider, model):
            raise ModelNotFound(f"The model `{model[:100]}` does not exist or is not served here.", param="model")
        self._apikeys.permit(key, served.name, model, peer)
        self._switches.refuse(served.name, provider, model)
        terms = Terms(
            key,
            book,
            pricing.multipliers,
            self._switches.state,
            pricing.multiplier(key.account.price_group),
            wallet_of(key.account.id, key.mode),
        )
        if key.ip_networks is None:  # else each call is asked where it comes from
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[served.name, key.id, model] = terms
        return terms
