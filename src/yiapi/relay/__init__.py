"""HTTP for callers: every operation of every provider, in its own dialect."""

from yiapi.relay.app import Relay
from yiapi.relay.station import Station
from yiapi.relay.watch import Watch

__all__ = ["Relay", "Station", "Watch"]
