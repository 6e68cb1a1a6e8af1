"""The garbage collector, in a process that makes and forgets thousands of objects a second and hardly a cycle."""

import gc


def calm_collector() -> None:
    """Let it leave alone what lives as long as the process, and look at the rest less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
