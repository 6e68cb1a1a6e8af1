"""What the supervisor does when processes die, signals come and it is killed itself.

A supervisor runs as a program of its own with small scripts as its processes. They report over a pipe, which ends when
the last of them is gone, and wait at another pipe where a test wants to let them go.
"""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from yiapi.supervisor import NotReady, PortTaken, bind_socket, wait_ready

DEADLINE_S = 30

SUPERVISOR = """
import json, os, sys
from yiapi import supervisor
from yiapi.supervisor import ProcessSpec, bind_socket, run_supervised

plan = json.loads(sys.argv[1])
supervisor.SAME_SIGNAL_S = plan["same_signal_s"]
pipes = (plan["report"], plan["gate"])
listener = bind_socket("127.0.0.1", 0)
os.write(plan["report"], b"port %d\\n" % listener.getsockname()[1])
specs = [
    ProcessSpec(
        name=one["name"],
        args=(one["does"], str(listener.fileno())),
        env={"NAME": one["name"], "REPORT": str(pipes[0]), "GATE": str(pipes[1])},
        pass_fds=(*pipes, listener.fileno()),
        ends_last=one.get("ends_last", False),
    )
    for one in plan["processes"]
]
sys.exit(
    run_supervised(
        specs,
        sockets=[listener],
        announce=lambda: os.write(plan["report"], b"announced 0\\n"),
        program=(sys.executable, "-c", plan["child"]),
        end_s=plan["end_s"],
    )
)
"""

CHILD = """
import os, signal, socket, sys, time

name, report, gate = os.environ["NAME"], int(os.environ["REPORT"]), int(os.environ["GATE"])
does, listener = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))

def say(what):
    os.write(report, f"{name}-{what} {os.getpid()} {time.monotonic()}\\n".encode())

def end(*_):
    listener.close()
    say("told")
    if does == "drains":
        os.read(gate, 1)
    if does != "stubborn":
        say("ends")
        sys.exit(0)

signal.signal(signal.SIGTERM, end)
say("up")
if does == "dies":
    sys.exit(3)
while does in {"serves", "serves one"}:
    connection, _ = listener.accept()
    connection.sendall(str(os.getpid()).encode())
    if does == "serves one":
        os.read(gate, 1)
    connection.close()
while True:
    signal.pause()
"""


@dataclass
class Watched:
    """A supervisor that runs, and what its processes have said."""

    process: subprocess.Popen
    reports: int
    gate: int
    said: list[str] = field(default_factory=list)
    rest: bytes = b""

    def wait(self, what: str, count: int = 1) -> list[list[str]]:
        """Return what followed these words, once they were said so many times."""
        while len(found := [line.split()[1:] for line in self.said if line.split()[0] == what]) < count:
            assert self.read(), f"all are gone without {what}: {self.said}"
        return found

    def wait_all_gone(self) -> None:
        """Return when no process can speak any more."""
        while self.read():
            pass

    def read(self) -> bool:
        """Take in what is said next; return whether there is anybody left to say it."""
        ready, _, _ = select.select([self.reports], [], [], DEADLINE_S)
        assert ready, f"nothing more than {self.said}"
        piece = os.read(self.reports, 4096)
        *lines, self.rest = (self.rest + piece).split(b"\n")
        self.said += [line.decode() for line in lines]
        return bool(piece)

    def pid(self, name: str, time_no: int = 0) -> int:
        return int(self.wait(f"{name}-up", time_no + 1)[time_no][0])

    def send(self, *signals: signal.Signals) -> None:
        for number in signals:
            self.process.send_signal(number)

    def status(self) -> int:
        return self.process.wait(DEADLINE_S)

    def order(self, *ends: str) -> list[str]:
        """Return the words of these kinds in the order in which they were said."""
        return [line.split()[0] for line in self.said if line.split()[0].endswith(ends)]


@pytest.fixture
def supervise():
    """Start a supervisor over processes of these names, each of which does one thing."""
    started = []

    def start(*processes, end_s=20.0, same_signal_s=0.5) -> Watched:
        reports, report = os.pipe()
        gate_in, gate = os.pipe()
        plan = {"report": report, "gate": gate_in, "child": CHILD, "end_s": end_s, "same_signal_s": same_signal_s}
        plan["processes"] = [dict(zip(("name", "does", "ends_last"), one, strict=False)) for one in processes]
        command = [sys.executable, "-c", SUPERVISOR, json.dumps(plan)]
        process = subprocess.Popen(command, pass_fds=(report, gate_in), stderr=subprocess.DEVNULL)
        os.close(report)
        os.close(gate_in)
        started.append(Watched(process, reports, gate))
        return started[-1]

    yield start
    for watched in started:
        watched.process.kill()
        watched.process.wait()
        watched.wait_all_gone()
        os.close(watched.reports)
        os.close(watched.gate)


def test_processes_start_in_the_order_given(supervise):
    watched = supervise(("sandbox", "stays"), ("gateway", "stays"), ("worker", "stays"))

    pids = [watched.pid(name) for name in ("sandbox", "gateway", "worker")]

    assert pids == sorted(pids)


def test_the_announcement_comes_when_all_are_started(supervise):
    watched = supervise(("one", "stays"), ("two", "stays"))

    watched.wait("announced")

    assert watched.pid("one") != watched.pid("two")


def test_what_dies_is_started_again_and_the_others_stay(supervise):
    watched = supervise(("one", "stays"), ("two", "stays"))
    first, other = watched.pid("one"), watched.pid("two")

    os.kill(first, signal.SIGKILL)

    assert watched.pid("one", 1) != first
    assert watched.wait("two-up") == watched.wait("two-up", 1)
    os.kill(other, 0)


def test_a_process_is_started_at_most_once_a_second(supervise):
    watched = supervise(("one", "dies"))

    times = [float(at) for _, at in watched.wait("one-up", 3)]

    assert min(times[1] - times[0], times[2] - times[1]) > 0.8  # a second less what a busy machine took to start it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_and_the_sandbox_last(supervise, number):
    watched = supervise(("sandbox", "stays", True), ("gateway", "drains"), ("worker", "stays"))
    for name in ("sandbox", "gateway", "worker"):
        watched.wait(f"{name}-up")

    watched.send(number)
    watched.wait("gateway-told")
    watched.wait("worker-ends")
    os.write(watched.gate, b"x")
    watched.wait_all_gone()

    assert watched.status() == 0
    assert watched.order("-told", "-ends")[-3:] == ["gateway-ends", "sandbox-told", "sandbox-ends"]


def test_what_ends_during_the_end_is_not_started_again(supervise):
    watched = supervise(("gateway", "drains"), ("worker", "stays"))
    watched.wait("gateway-up")
    watched.wait("worker-up")

    watched.send(signal.SIGTERM)
    watched.wait("worker-ends")
    os.write(watched.gate, b"x")
    watched.wait_all_gone()

    assert watched.order("-up").count("worker-up") == 1


def test_two_signals_in_one_breath_are_one_wish(supervise):
    watched = supervise(("gateway", "drains"), same_signal_s=DEADLINE_S)
    watched.wait("gateway-up")

    watched.send(signal.SIGTERM)
    watched.wait("gateway-told")
    watched.send(signal.SIGINT)
    os.write(watched.gate, b"x")

    assert watched.status() == 0
    watched.wait("gateway-ends")


def test_a_second_signal_ends_all_at_once(supervise):
    watched = supervise(("gateway", "drains"), same_signal_s=0)
    watched.wait("gateway-up")

    watched.send(signal.SIGTERM)
    watched.wait("gateway-told")
    watched.send(signal.SIGTERM)
    watched.wait_all_gone()

    assert watched.status() == 1
    assert watched.order("-ends") == []


def test_what_does_not_end_in_time_is_killed(supervise):
    watched = supervise(("gateway", "stubborn"), end_s=0.3)
    watched.wait("gateway-up")

    watched.send(signal.SIGTERM)
    watched.wait_all_gone()

    assert watched.status() == 1


def test_a_killed_supervisor_leaves_nobody_behind(supervise):
    watched = supervise(("gateway", "stubborn"), ("worker", "stays"))
    watched.wait("gateway-up")
    watched.wait("worker-up")

    watched.send(signal.SIGKILL)

    watched.wait_all_gone()


def test_a_connection_waits_for_the_next_gateway_when_one_dies(supervise):
    watched = supervise(("gateway", "serves"))
    port = int(watched.wait("port")[0][0])
    first = watched.pid("gateway")
    death = os.pidfd_open(first)

    os.kill(first, signal.SIGKILL)
    assert select.select([death], [], [], DEADLINE_S)[0]
    os.close(death)
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        answered_by = int(connection.recv(100))

    assert answered_by == watched.pid("gateway", 1)


def test_gateways_share_one_port(supervise):
    watched = supervise(("one", "serves one"), ("two", "serves one"))
    port = int(watched.wait("port")[0][0])

    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as connection:
        answered_by = {int(connection.recv(100))}
        with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S) as another:
            answered_by.add(int(another.recv(100)))

    assert answered_by == {watched.pid("one"), watched.pid("two")}


def test_the_port_is_closed_while_a_gateway_that_stopped_listening_drains(supervise):
    watched = supervise(("gateway", "drains"))
    port = int(watched.wait("port")[0][0])
    watched.wait("gateway-up")

    watched.send(signal.SIGTERM)
    watched.wait("gateway-told")

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    os.write(watched.gate, b"x")


def test_a_taken_port_is_named():
    with bind_socket("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(PortTaken, match=f"127.0.0.1 port {port}: Address already in use"):
            bind_socket("127.0.0.1", port)


class Slow(BaseHTTPRequestHandler):
    """Is ready at the third question."""

    answers = 0

    def do_GET(self):
        type(self).answers += 1
        self.send_response(200 if self.answers > 2 else 503)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def slow_server():
    Slow.answers = 0
    server = HTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/readyz"
    server.shutdown()
    thread.join()
    server.server_close()


def test_waiting_goes_on_until_the_answer_is_yes(slow_server):
    wait_ready(slow_server, DEADLINE_S)

    assert Slow.answers == 3


def test_waiting_ends_at_the_deadline():
    with bind_socket("127.0.0.1", 0) as unused:
        port = unused.getsockname()[1]
    start = time.monotonic()

    with pytest.raises(NotReady, match=f":{port}/readyz was not ready within 0.2 s"):
        wait_ready(f"http://127.0.0.1:{port}/readyz", 0.2)

    assert time.monotonic() - start < 10
