"""Metrics as they are written: counted calls, the channels of this process, sums over several processes."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.parser import text_string_to_metric_families

from yiapi.api.health import SHARED, OfThisProcess, written
from yiapi.channels import ChannelState
from yiapi.metrics import BUCKETS_S, Metrics


@dataclass
class Ended:
    """A call that ended."""

    operation: str = "openai.chat"
    mode: str = "live"
    status: str = "succeeded"
    error_code: str | None = None
    is_estimated: bool = False
    duration_ms: int = 200


@pytest.fixture
def metrics(monkeypatch) -> Metrics:
    monkeypatch.delenv(SHARED, raising=False)
    return Metrics(CollectorRegistry())


def read(text: bytes) -> dict[str, float]:
    samples = (sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples)
    return {f"{one.name}{sorted(one.labels.values())}": one.value for one in samples}


NOTHING = OfThisProcess((), 0)


def test_calls_are_counted_by_operation_mode_and_end(metrics):
    for ended in (Ended(), Ended(), Ended(status="failed", error_code="upstream_error"), Ended(is_estimated=True)):
        metrics.finished(ended)
    metrics.flush(in_flight=3)

    found = read(written(metrics.registry, NOTHING))

    assert found["yiapi_calls_total['live', 'openai.chat', 'succeeded']"] == 3
    assert found["yiapi_calls_total['failed', 'live', 'openai.chat']"] == 1
    assert found["yiapi_call_faults_total['upstream_error']"] == 1
    assert found["yiapi_usage_estimated_total[]"] == 1
    assert found["yiapi_call_seconds_count['openai.chat']"] == 4
    assert found["yiapi_call_seconds_sum['openai.chat']"] == pytest.approx(0.8)
    assert found["yiapi_calls_in_flight[]"] == 3


def test_flushing_again_counts_nothing_twice(metrics):
    metrics.finished(Ended())
    for _ in range(2):
        metrics.flush(in_flight=0)

    assert read(written(metrics.registry, NOTHING))["yiapi_calls_total['live', 'openai.chat', 'succeeded']"] == 1


def test_channels_are_shown_as_this_process_sees_them(metrics):
    states = (
        ChannelState("chan_1", "closed", 0.0, 0.0, 2, 0),
        ChannelState("chan_2", "open", 12.0, 0.0, 0, 1),
        ChannelState("chan_3", "half_open", 0.0, 4.5, 1, 1),
    )

    found = read(written(metrics.registry, OfThisProcess(states, 7)))

    assert [found[f"yiapi_channel_open['chan_{number}']"] for number in (1, 2, 3)] == [0, 1, 1]
    assert found["yiapi_channel_in_flight['chan_1']"] == 2
    assert found["yiapi_channel_cooled_seconds['chan_3']"] == 4.5
    assert found["yiapi_log_lines_dropped_total[]"] == 7


def test_every_metric_is_explained(metrics):
    text = written(metrics.registry, NOTHING).decode()

    names = set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    assert names == set(re.findall(r"^# HELP (\S+) \S+", text, re.MULTILINE))
    assert all(name.startswith("yiapi_") for name in names)


COUNTS = """
from dataclasses import dataclass
from prometheus_client import CollectorRegistry, Histogram
from yiapi.metrics import BUCKETS_S, Metrics

@dataclass
class Ended:
    operation: str = "openai.chat"
    mode: str = "live"
    status: str = "succeeded"
    error_code: None = None
    is_estimated: bool = False
    duration_ms: int = 200

metrics = Metrics(CollectorRegistry())
metrics.finished(Ended())
metrics.flush(in_flight=2)
"""
SHOWS = """
import sys
from prometheus_client import CollectorRegistry, Histogram
from yiapi.api.health import OfThisProcess, written

sys.stdout.buffer.write(written(CollectorRegistry(), OfThisProcess((), 0)))
"""


def test_processes_that_share_a_folder_are_summed(tmp_path):
    env = os.environ | {SHARED: str(tmp_path)}
    for _ in range(2):
        subprocess.run([sys.executable, "-c", COUNTS], env=env, check=True, timeout=60)

    shown = subprocess.run([sys.executable, "-c", SHOWS], env=env, check=True, timeout=60, capture_output=True)

    assert read(shown.stdout)["yiapi_calls_total['live', 'openai.chat', 'succeeded']"] == 2


def test_a_call_is_counted_in_the_bucket_that_one_observation_would_take(metrics):
    durations_ms = (0, 50, 51, 100, 999, 1000, 1001, 300_000, 300_001)
    for duration_ms in durations_ms:
        metrics.finished(Ended(duration_ms=duration_ms))
    metrics.flush(in_flight=0)
    expected = Histogram("expected", "The same, one by one.", buckets=BUCKETS_S, registry=CollectorRegistry())
    for duration_ms in durations_ms:
        expected.observe(duration_ms / 1000)

    def samples(histogram):
        family = next(iter(histogram.collect()))
        return {
            (one.name.removeprefix(family.name), one.labels.get("le")): one.value
            for one in family.samples
            if not one.name.endswith("_created")
        }

    assert samples(metrics.seconds) == samples(expected)
