"""Channels: our accounts at the providers, what is known of their health, and which of them to try next."""

from yiapi.channels.budget import RetryBudget, UpstreamGroup
from yiapi.channels.health import ChannelState, Health, Outcome
from yiapi.channels.models import Channel, ChannelMode, ChannelRow, Credential, CredentialRow, Routing
from yiapi.channels.service import Channels, pick_credential

__all__ = [
    "Channel",
    "ChannelMode",
    "ChannelRow",
    "ChannelState",
    "Channels",
    "Credential",
    "CredentialRow",
    "Health",
    "Outcome",
    "RetryBudget",
    "Routing",
    "UpstreamGroup",
    "pick_credential",
]
