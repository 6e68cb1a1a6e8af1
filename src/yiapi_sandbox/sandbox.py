"""What every vendor's file works with: the key, the time, the books, the shelf of results and the callbacks."""

from dataclasses import dataclass

from yiapi_sandbox.books import Books
from yiapi_sandbox.callbacks import Callbacks
from yiapi_sandbox.clock import Clock
from yiapi_sandbox.shelf import Shelf


@dataclass
class Sandbox:
    """One running sandbox."""

    key: str
    task_seconds: float
    clock: Clock
    books: Books
    shelf: Shelf
    callbacks: Callbacks
    limits: bool = False
    """Whether vendors take only as much at a time as their contracts say."""
