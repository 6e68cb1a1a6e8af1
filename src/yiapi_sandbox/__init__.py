"""The sandbox: a separate program that plays every vendor over its official wire format.

It is written from ``contracts/`` alone. It imports nothing of the gateway and lends nothing to it, so that one mistake
cannot hide in both.
"""
