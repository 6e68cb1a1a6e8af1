"""What a log line shows, what it hides, and that nobody waits for it."""

import json
import logging
import subprocess
import sys
import threading
import time

import pytest
import structlog

from yiapi import logs
from yiapi.logs import configure_logs, flush_logs, get_logger, lines_dropped, redact, remember_secret, write_to_stderr

KEY = "sk-live-0123456789abcdefghijABCDEFGHIJ1234567890"


@pytest.fixture
def written():
    """Lines as they were written, after all are."""
    pieces = []
    configure_logs(write=pieces.append)

    def lines():
        assert flush_logs(10)
        return [json.loads(line) for line in b"".join(pieces).splitlines()]

    yield lines
    flush_logs()
    configure_logs(write=write_to_stderr)
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers.clear()


def test_a_line_is_one_object_with_time_level_and_event_first(written):
    get_logger().warning("channel_disabled", channel_id="ch_1", attempts=3, ratio=0.5, is_live=True, reason=None)

    (line,) = written()
    assert list(line)[:3] == ["time", "level", "event"]
    assert line["time"].endswith("Z")
    assert line | {"time": ""} == {
        "time": "",
        "level": "warning",
        "event": "channel_disabled",
        "channel_id": "ch_1",
        "attempts": 3,
        "ratio": 0.5,
        "is_live": True,
        "reason": None,
    }


def test_lines_below_the_level_are_left_out(written):
    configure_logs("warning")

    get_logger().info("unimportant")
    get_logger().error("important")

    assert [line["event"] for line in written()] == ["important"]


def test_what_belongs_to_the_request_is_on_each_of_its_lines(written):
    with structlog.contextvars.bound_contextvars(request_id="req_1", channel_id="outer"):
        get_logger().info("one", channel_id="inner")
    get_logger().info("two")

    one, two = written()
    assert (one["request_id"], one["channel_id"]) == ("req_1", "inner")
    assert "request_id" not in two


def test_an_exception_is_named_with_its_traceback_and_without_secrets(written):
    try:
        int(KEY)
    except ValueError:
        get_logger().exception("failed")

    (line,) = written()
    assert line["error"] == "ValueError: invalid literal for int() with base 10: 'sk-live-…7890'"
    assert "test_logs.py" in line["traceback"]
    assert KEY not in json.dumps(line)


def test_lines_of_libraries_come_too_from_warnings_on(written):
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("uvicorn.access").info("GET /")
    logging.getLogger("uvicorn.error").warning("the key %s", KEY)

    (line,) = written()
    assert (line["logger"], line["event"]) == ("uvicorn.error", "the key sk-live-…7890")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (KEY, "sk-live-…7890"),
        (f"({KEY.replace('live', 'admin')})", "(sk-admin-…7890)"),
        ("sk-proj-abcdefghijklmnopqrstuvwxyz", "sk-proj-…wxyz"),
        ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_…b7oD"),
        ("Authorization: Bearer abcdefghijklmnop1234", "Authorization: Bearer …1234"),
        (f"authorization: bearer {KEY}", "authorization: bearer sk-live-…7890"),
        ("Api-Key: 12345678", "Api-Key: …"),
        ('{"api_key": "12345678", "n": 1}', '{"api_key": "…", "n": 1}'),
        ("x-api-key=abcdefghijklmnopqrst", "x-api-key=…qrst"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "…dXJl"),
        ("postgresql://user:password@host/db", "postgresql://…@host/db"),
        ("/files/1?sig=abcdefghijk&width=5", "/files/1?sig=…&width=5"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n", "…"),
        (f"/v1/{KEY}/x", "/v1/sk-live-…7890/x"),
        (f"a.-{KEY}", "a.-sk-live-…7890"),
        ("/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "/t/…dXJl"),
        ("/task-1/req_0123456789abcdef/whsec", "/task-1/req_0123456789abcdef/whsec"),
        ("max_tokens: 4096, model: gpt-4o", "max_tokens: 4096, model: gpt-4o"),
        ("key_0001 and ch_0001 are ids", "key_0001 and ch_0001 are ids"),
    ],
)
def test_keys_are_masked_and_the_rest_is_left(text, shown):
    assert redact(text) == shown


def test_a_masked_text_stays_as_it_is():
    once = redact(f"Authorization: Bearer {KEY}, api_key={KEY}")

    assert redact(once) == once


@pytest.mark.parametrize("name", ["api_key", "authorization", "x-api-key", "password", "webhook_secret", "cookie"])
def test_a_field_that_is_called_a_secret_is_masked_whatever_it_holds(written, name):
    get_logger().info("line", **{name: "tell-nobody"}, nested={name: ["tell-nobody"]})

    assert "tell-nobody" not in json.dumps(written())


def test_secrets_are_found_in_nested_values(written):
    get_logger().info("line", body={"messages": [{"content": f"my key is {KEY}"}]})

    assert KEY not in json.dumps(written())


def test_a_remembered_secret_is_masked_wherever_it_occurs(written, monkeypatch):
    monkeypatch.setattr(logs, "_remembered", {})
    remember_secret("plain words 42")

    get_logger().info("line with plain words 42", url="http://h/plain words 42/x")

    assert "plain words" not in json.dumps(written())


def test_a_short_text_is_not_remembered(monkeypatch):
    monkeypatch.setattr(logs, "_remembered", {})

    remember_secret("cat")

    assert redact("concatenate") == "concatenate"


@pytest.mark.parametrize("character", ["\n", "\r", "\x1b", "\x00", "\x85", "\u2028", "\u202e", "\ud800"])
def test_control_characters_are_escaped(written, character):
    get_logger().info(f"before{character}after")

    (line,) = written()
    assert line["event"] == "before" + character.encode("unicode_escape").decode() + "after"


def test_fields_are_bounded(written):
    get_logger().info("line", text="x" * 100_000, entries=list(range(1000)))

    (line,) = written()
    assert line["text"].endswith("… (100000 characters)")
    assert len(line["text"]) < 1100
    assert len(line["entries"]) == 50


def test_a_secret_is_masked_before_the_text_is_cut():
    shown = redact("x" * 990 + " " + KEY)

    assert "0123" not in shown


def test_values_of_any_kind_make_a_line(written):
    class Rude:
        def __str__(self):
            raise RuntimeError("no")

    get_logger().info("first", number=2**70, raw=b"\xff", kind=int)
    get_logger().info("second", rude=Rude())
    get_logger().info("third")

    assert [line["event"] for line in written()] == ["first", "log_line_unwritable", "third"]


def test_a_blocked_sink_keeps_nobody_waiting_and_the_drops_are_counted(written, monkeypatch):
    monkeypatch.setattr(logs, "LINES_WAITING_MAX", 10)
    is_writing, may_write = threading.Event(), threading.Event()
    pieces = []

    def write(piece):
        is_writing.set()
        may_write.wait(30)
        pieces.append(piece)

    before = lines_dropped()
    configure_logs(write=write)
    get_logger().info("held")
    is_writing.wait(30)

    start = time.monotonic()
    for _ in range(1000):
        get_logger().info("more")
    took = time.monotonic() - start
    may_write.set()
    flush_logs(10)

    assert took < 1
    assert lines_dropped() - before == 990
    lines = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert sum(line["event"] == "more" for line in lines) == 10
    assert [line["count"] for line in lines if line["event"] == "log_lines_dropped"] == [990]


def test_a_sink_that_fails_is_counted_and_tried_again(written):
    pieces = []

    def write(piece):
        if b"lost" in piece:
            raise OSError(28, "No space left on device")
        pieces.append(piece)

    before = lines_dropped()
    configure_logs(write=write)

    get_logger().info("lost")
    flush_logs(10)
    get_logger().info("kept")
    flush_logs(10)

    assert lines_dropped() == before + 1
    assert b"kept" in b"".join(pieces)


def test_lines_are_on_standard_error_when_a_process_has_ended():
    program = "from yiapi.logs import get_logger\nfor n in range(100): get_logger().info('line', n=n)"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert [json.loads(line)["n"] for line in done.stderr.splitlines()] == list(range(100))
    assert done.stdout == ""


def test_a_line_costs_its_caller_a_few_microseconds(written):
    log = get_logger()
    count = 2000

    start = time.thread_time()
    for _ in range(count):
        log.info("request_finished", status=200, took_s=0.2, model="gpt-4o", channel_id="ch_1", account_id="ac_1")
    cost_us = (time.thread_time() - start) / count * 1e6

    assert cost_us < 40  # about 4 on an idle machine; a redaction that slips to the caller's side costs 20 more
