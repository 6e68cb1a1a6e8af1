"""One file per vendor; each holds a ``VENDOR``, and dropping in a file is enough."""
