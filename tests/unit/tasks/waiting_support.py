"""A waiting task for tests that have no database."""

from yiapi.tasks.waiting import Waiting

ROW = {
    "id": "task-1",
    "bucket": 7,
    "operation": "kling.text2video",
    "request_id": "req-1",
    "status": "running",
    "progress": 10,
    "channel_id": "chan",
    "credential_id": "cred",
    "vendor_task_id": "v-1",
    "watched_until": None,
    "window_until": None,
    "told": None,
    "succeeded_at": None,
    "created_at": 1_000,
    "started_at": 2_000,
    "finished_at": None,
    "deadline_at": 60_000,
    "now": 10_000,
}


def waiting(task_id="task-1", look_at=0.0, **fields):
    task = Waiting(ROW | {"id": task_id} | fields, None, 100.0)
    task.look_at = look_at
    return task
