"""Durable generations: created before the vendor hears of them, asked for until they end, ended exactly once."""

from yiapi.tasks.cadence import HOLD_SPARE_S, first_look_s
from yiapi.tasks.callbacks import Callbacks
from yiapi.tasks.models import NewTask, Task
from yiapi.tasks.poller import Poller
from yiapi.tasks.service import Tasks, new_task_id
from yiapi.tasks.submitting import IdTaken
from yiapi.tasks.windows import WindowClosed
from yiapi.tasks.words import earlier_of, names_of, renamed, renamed_in

__all__ = [
    "HOLD_SPARE_S",
    "Callbacks",
    "IdTaken",
    "NewTask",
    "Poller",
    "Task",
    "Tasks",
    "WindowClosed",
    "earlier_of",
    "first_look_s",
    "names_of",
    "new_task_id",
    "renamed",
    "renamed_in",
]
