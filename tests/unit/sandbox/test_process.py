"""The sandbox as a process of its own: its ready line, its sockets, its stop, and what survives it."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import yiapi_sandbox

SOURCE = Path(yiapi_sandbox.__file__).parent.parent
STOP_S_MAX = 5


@contextmanager
def started(*arguments, key="k", fds=()):
    """Run a sandbox on a free port; yield its process and its ready line."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "YIAPI_SANDBOX_TASK_SECONDS": "0"}
    environment.pop("YIAPI_SANDBOX_KEY", None)
    if key:
        environment["YIAPI_SANDBOX_KEY"] = key
    command = [sys.executable, "-m", "yiapi_sandbox", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, pass_fds=fds) as process:
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.fixture(scope="module")
def running():
    with (
        started("--port", "0", "--memory") as (_, ready),
        httpx.Client(base_url=ready["sandbox_url"], timeout=20) as client,
    ):
        yield client


@pytest.fixture
def ask(running):
    def post(text, **body):
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]} | body
        return running.build_request(
            "POST", "/openai/v1/chat/completions", json=body, headers={"authorization": "Bearer k"}
        )

    return post


def test_a_reset_comes_before_any_byte(running, ask):
    with pytest.raises(httpx.ReadError, match="reset"):
        running.send(ask("#fail=reset"))


def test_a_cut_stream_breaks_after_some_text(running, ask):
    answer = running.send(ask("#fail=cut", stream=True), stream=True)
    parts = []

    with pytest.raises(httpx.RemoteProtocolError):
        _keep(answer.iter_text(), parts)

    text = "".join(parts)
    assert answer.status_code == 200
    assert '"content":"Hello"' in text
    assert "[DONE]" not in text


def _keep(parts, kept):
    for part in parts:
        kept.append(part)


def test_a_cut_answer_is_shorter_than_it_says(running, ask):
    with pytest.raises(httpx.RemoteProtocolError):
        running.send(ask("#fail=cut"))


def test_silence_lasts_until_the_caller_leaves(running, ask):
    with pytest.raises(httpx.ReadTimeout):
        running.send(_timed(ask("#fail=hang"), 0.2))

    calls = running.get("/_/calls").json()["data"]
    assert calls[-1]["outcome"] == "hang"
    assert calls[-1]["status"] is None


def _timed(request, seconds):
    request.extensions["timeout"] = {"connect": 5, "read": seconds, "write": 5, "pool": 5}
    return request


def test_the_next_call_is_not_affected(running, ask):
    assert running.send(ask("hello")).status_code == 200


def _signed(jwt):
    return jwt(key="k", exp=int(time.time()) + 60, nbf=int(time.time()) - 5)


def test_a_bad_request_line_does_not_end_it(running):
    url = httpx.URL(str(running.base_url))
    with socket.create_connection((url.host, url.port), timeout=5) as raw:
        raw.sendall(b"rubbish\r\n\r\n")
        raw.recv(1000)

    assert running.get("/_/health").status_code == 200


def test_it_stops_at_once_when_told_to():
    with started("--port", "0", "--memory") as (process, ready):
        with httpx.Client(base_url=ready["sandbox_url"]) as client:
            client.get("/_/health")
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S_MAX) == 0

        assert process.stdout.read() == b""
        assert json.loads(process.stderr.read().splitlines()[-1]) == {"event": "stopped"}


def test_it_stops_although_somebody_waits():
    with started("--port", "0", "--memory") as (process, ready):
        url = httpx.URL(ready["sandbox_url"])
        body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "#fail=hang"}]}).encode()
        with socket.create_connection((url.host, url.port)) as raw:
            head = "POST /openai/v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer k\r\n"
            raw.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            assert not select.select([raw], [], [], 0.1)[0]
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_S_MAX) == 0


def test_without_a_key_it_makes_one_and_says_it():
    with started("--port", "0", "--memory", key=None) as (_, ready):
        answer = httpx.get(
            f"{ready['sandbox_url']}/openai/v1/models", headers={"authorization": f"Bearer {ready['key']}"}
        )

    assert answer.status_code == 200


def test_it_listens_on_a_socket_that_it_inherits():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with started("--socket-fd", str(listener.fileno()), "--memory", fds=(listener.fileno(),)) as (_, ready):
            assert ready == {"sandbox_url": f"http://127.0.0.1:{port}"}
            assert httpx.get(f"http://127.0.0.1:{port}/_/health").status_code == 200


def test_a_killed_sandbox_forgets_nothing(tmp_path, jwt):
    token = {"authorization": f"Bearer {_signed(jwt)}", "x-client-request-id": "r-1"}
    with started("--port", "0", "--data", str(tmp_path)) as (process, ready):
        path = "/kling/v1/images/generations"
        created = httpx.post(
            f"{ready['sandbox_url']}{path}", json={"prompt": "a cat", "external_task_id": "mine"}, headers=token
        ).json()["data"]
        first = httpx.get(f"{ready['sandbox_url']}{path}/mine", headers=token).json()["data"]
        link = httpx.URL(first["task_result"]["images"][0]["url"])
        picture = httpx.get(link).content
        process.kill()
        process.wait()

    with started("--port", "0", "--data", str(tmp_path)) as (_, ready):
        base = ready["sandbox_url"]
        task = httpx.get(f"{base}{path}/{created['task_id']}", headers=token).json()["data"]
        again = httpx.get(f"{base}{link.raw_path.decode()}")
        calls = httpx.get(f"{base}/_/calls", params={"request_id": "r-1"}).json()["data"]

    assert task["task_status"] == "succeed"
    assert again.content == picture
    assert [call["method"] for call in calls] == ["POST", "GET", "GET"]
