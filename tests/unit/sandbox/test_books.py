"""The sandbox's own books, and the rooms that vendors share: registry, drawing, looking, chance."""

import subprocess
import sys
from pathlib import Path

import pytest

import yiapi_sandbox
from yiapi_sandbox import looking, palette, registry, retouching
from yiapi_sandbox.__main__ import build
from yiapi_sandbox.books import Books, ReferenceTaken, Task, Usage
from yiapi_sandbox.clock import TurnableClock
from yiapi_sandbox.dice import Dice
from yiapi_sandbox.drawing import draw as drawn
from yiapi_sandbox.memory import MemoryBooks
from yiapi_sandbox.reading import read
from yiapi_sandbox.recipes import Scene
from yiapi_sandbox.shapes import SHAPES


async def test_calls_are_listed_by_the_callers_request(chat, draw, stranger):
    await chat(headers={"x-client-request-id": "r-1"})
    await chat("#fail=rate", headers={"x-client-request-id": "r-1"})
    await draw("#fail=garbage", headers={"x-client-request-id": "r-2"})

    calls = (await stranger.get("/_/calls", params={"request_id": "r-1"})).json()["data"]
    everything = (await stranger.get("/_/calls")).json()["data"]

    assert [(call["vendor"], call["path"], call["status"], call["outcome"]) for call in calls] == [
        ("openai", "/v1/chat/completions", 200, "answered"),
        ("openai", "/v1/chat/completions", 429, "refused"),
    ]
    assert everything[-1]["outcome"] == "garbage"


async def test_tasks_are_listed_by_vendor(kling, stranger):
    await kling.post("/v1/videos/text2video", json={"prompt": "a cat", "external_task_id": "mine"})

    tasks = (await stranger.get("/_/tasks")).json()["data"]["kling"]

    assert [(task["reference"], task["operation"]) for task in tasks] == [("mine", "/v1/videos/text2video")]


async def test_the_bill_has_what_was_made_and_nothing_else(draw, chat, kling, stranger, clock):
    await draw(num_images=2)
    await draw("#fail=content")
    usage = (await chat()).json()["usage"]
    await kling.post("/v1/videos/text2video", json={"prompt": "a cat", "mode": "pro"})
    await kling.post("/v1/videos/text2video", json={"prompt": "a cat #fail=task"})
    early = (await stranger.get("/_/bill")).json()["data"]
    clock.turn(2)

    bill = (await stranger.get("/_/bill")).json()["data"]

    assert "kling" not in early
    assert bill["ideogram"] == {
        "usd": "0.16",
        "lines": [{"sku": "V_2", "unit": "image", "quantity": 2, "usd": "0.16"}],
    }
    assert bill["kling"]["usd"] == "0.49"
    assert {line["unit"]: line["quantity"] for line in bill["openai"]["lines"]} == {
        "token_in": usage["prompt_tokens"],
        "token_out": usage["completion_tokens"],
    }


async def test_the_books_are_shown_to_this_machine_only(station):
    import httpx

    transport = httpx.ASGITransport(app=station, client=("203.0.113.9", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox.test") as far:
        assert (await far.get("/_/calls")).status_code == 404


def test_every_vendor_is_found_and_answers_below_its_name():
    assert {"openai", "ideogram", "kling", "midjourney"} <= set(registry.find())


def test_the_sandbox_imports_nothing_of_the_gateway():
    root = Path(yiapi_sandbox.__file__).parent
    code = (
        "import sys, yiapi_sandbox.__main__, yiapi_sandbox.registry as r; r.find();"
        "sys.exit(any(name == 'yiapi' or name.startswith('yiapi.') for name in sys.modules))"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=root.parent, check=False).returncode == 0


def test_a_task_and_a_link_secret_survive_a_restart(tmp_path):
    first = build(tmp_path, key="k", task_seconds=2, clock=TurnableClock())
    signature = first.sandbox.shelf.sign("a", 1)
    file_id = first.sandbox.shelf.put(Scene("a cat", 1, 64, 64), keep_s=1000)
    first.sandbox.books.close()

    second = build(tmp_path, key="k", task_seconds=2, clock=TurnableClock())
    kept = second.sandbox.shelf.look_up(file_id)
    same = second.sandbox.shelf.sign("a", 1) == signature
    second.sandbox.books.close()

    assert same
    assert kept.recipe == Scene("a cat", 1, 64, 64)


def test_what_is_over_is_forgotten_at_a_start(tmp_path):
    station = build(tmp_path, key="k", task_seconds=2, clock=(clock := TurnableClock()))
    file_id = station.sandbox.shelf.put(Scene("a cat", 1, 64, 64), keep_s=10)
    clock.turn(11)

    station.resume()

    assert station.sandbox.shelf.look_up(file_id) is None
    station.sandbox.books.close()


# Both kinds of books


@pytest.fixture(params=["file", "memory"])
def books(request, tmp_path):
    books = Books(tmp_path / "sandbox.db") if request.param == "file" else MemoryBooks()
    yield books
    books.close()


def task(number, **more):
    """A task that ends after as many seconds as its number."""
    usage = Usage("sku", "call", 1, 5)
    base = {"vendor": "v", "id": str(number), "operation": "/o", "created_at": 0.0 + number, "begins_at": 0.0}
    return Task(**(base | {"ends_at": 10.0 + number, "usage": usage} | more))


def test_tasks_are_found_by_id_and_by_reference(books):
    books.add_task(task(1, reference="mine"))

    assert books.task("v", "1") == books.task_by_reference("v", "mine") == task(1, reference="mine")
    assert books.task("other", "1") is books.task_by_reference("other", "mine") is books.task("v", "2") is None


def test_an_id_and_a_reference_are_taken_once(books):
    books.add_task(task(1, reference="mine"))

    for again in (task(1), task(2, reference="mine")):
        with pytest.raises(ReferenceTaken):
            books.add_task(again)
    assert [kept.id for kept in books.tasks()] == ["1"]


def test_a_changed_task_is_found_as_it_is_now(books):
    books.add_task(task(1, reference="mine"))

    books.change_task(task(1, ends_at=99.0, failure="late"))
    books.add_task(task(2, reference="mine"))

    assert books.task("v", "1").failure == "late"
    assert books.task_by_reference("v", "mine").id == "2"
    assert [kept.id for kept in books.open_tasks("v", 50.0)] == ["1"]


def test_tasks_are_listed_newest_first_and_open_ones_oldest_first(books):
    for number in (1, 2, 3):
        books.add_task(task(number))
    books.add_task(task(4, vendor="other"))

    assert [kept.id for kept in books.tasks()] == ["4", "3", "2", "1"]
    assert [kept.id for kept in books.tasks("v", 2)] == ["3", "2"]
    assert [kept.id for kept in books.open_tasks("v", 11.5)] == ["2", "3"]


def test_calls_are_counted_and_listed(books):
    for at, (request_id, operation) in enumerate([("r-1", "/a"), ("r-1", "/b"), ("r-2", "/a"), (None, "/a")]):
        books.note_call(
            float(at), vendor="v", method="GET", path="/x", operation=operation, request_id=request_id, status=200,
            outcome="answered",
        )  # fmt: skip

    assert books.count_calls("v", "/a", "r-1") == 1
    assert [call["at"] for call in books.calls("r-1")] == [0.0, 1.0]
    assert [call["at"] for call in books.calls(None, 2)] == [2.0, 3.0]
    assert books.calls(None)[0] == {
        "at": 0.0, "vendor": "v", "method": "GET", "path": "/x", "request_id": "r-1", "status": 200,
        "outcome": "answered",
    }  # fmt: skip


def test_results_are_kept_until_they_are_over(books):
    books.add_file("a", b"recipe", 10.0)
    books.add_file("b", b"recipe", 20.0)
    books.add_source("d", b"picture", 10.0)
    books.keep_source("d", 20.0)

    books.drop_expired_files(15.0)

    assert (books.file("a"), books.file("b"), books.source("d")) == (None, b"recipe", b"picture")


def test_a_bill_has_the_tasks_that_ended_well(books):
    books.add_task(task(1))
    books.add_task(task(2, failure="no"))
    books.add_task(task(9))

    (line,) = books.billed(15.0)["v"]

    assert (line.quantity, line.usd_nano) == (1, 5)


# Drawing


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_every_thing_can_be_drawn(name):
    assert drawn(Scene(f"a {name}", 3, 96, 64)).size == (96, 64)


@pytest.mark.parametrize(
    "prompt",
    ["", "!!!", "quantum justice", "sea at night", "a city in the rain", "room", "space", "beach at dawn with rainbow",
     "mountains and snow", "desert", "fog", "storm", "九只红色的猫在海边", "\ud83d\ude00", "x" * 10_000],
    ids=lambda prompt: prompt[:20].encode("ascii", "replace").decode(),
)  # fmt: skip
def test_any_prompt_can_be_drawn(prompt):
    assert drawn(Scene(prompt, 3, 120, 80)).tobytes() == drawn(Scene(prompt, 3, 120, 80)).tobytes()


def test_a_colour_belongs_to_the_thing_after_it():
    idea = read("a red fox and two blue boats at sunset")

    assert [thing.name for thing in idea.things] == ["fox", "boat", "boat"]
    assert [thing.color for thing in idea.things] == [palette.NAMED["red"]] + [palette.NAMED["blue"]] * 2
    assert idea.sky == "sunset"


def test_what_the_negative_prompt_names_is_left_out():
    assert [thing.name for thing in read("a cat and a dog", "dog").things] == ["cat"]


def test_chinese_words_are_read():
    assert [thing.name for thing in read("一只白猫坐在船上").things] == ["cat", "boat"]


@pytest.mark.parametrize(
    ("color", "word"),
    [
        ((255, 255, 255), "white"),
        ((0, 0, 0), "black"),
        ((220, 40, 40), "red"),
        ((40, 80, 200), "blue"),
        ((128, 128, 128), "gray"),
    ],
)
def test_a_seen_colour_has_its_name(color, word, png):
    assert palette.name(color) == word
    assert f"mostly {word}" in looking.describe(png(100, 100, color))


def test_dice_are_the_same_everywhere():
    assert [Dice("a", 1).whole(1, 6) for _ in range(2)] == [Dice("a", 1).whole(1, 6)] * 2
    assert round(Dice("a", 1).unit(), 6) == 0.800257


def test_a_subject_keeps_what_it_encloses(png, opened):
    ring = opened(png(200, 200))  # a red disc on white ...
    ring.paste("white", (90, 90, 110, 110))  # ... with a white middle

    mask = retouching.subject(ring)

    assert mask.getpixel((100, 100)) > 200
    assert mask.getpixel((10, 10)) < 50
