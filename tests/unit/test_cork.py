"""What is written in one turn of the event loop goes out at its end, in order, and nobody's end keeps the rest back."""

import asyncio

import pytest

from yiapi.cork import Cork, cork_of

pytestmark = pytest.mark.anyio


class Wire:
    """Notes what is written to it, and to the others of its kind."""

    def __init__(self, name, notes, *, is_closed=False):
        self.name = name
        self.notes = notes
        self.is_closed = is_closed

    def write(self, piece):
        if self.is_closed:
            raise RuntimeError("the handler is closed")
        self.notes.append((self.name, bytes(piece)))


@pytest.fixture
async def cork():
    return Cork(asyncio.get_running_loop())


async def test_pieces_go_out_at_the_end_of_the_turn_in_the_order_they_came(cork):
    notes = []
    one, other = Wire("one", notes), Wire("other", notes)

    cork.write(one, b"a")
    cork.write(other, b"b")
    cork.write(one, b"c")
    assert notes == []
    await asyncio.sleep(0)

    assert notes == [("one", b"a"), ("other", b"b"), ("one", b"c")]
    await asyncio.sleep(0)
    assert len(notes) == 3


async def test_what_is_let_go_is_not_written_again(cork):
    notes = []
    wire = Wire("one", notes)

    cork.write(wire, b"a")
    cork.let_go()
    assert notes == [("one", b"a")]
    cork.write(wire, b"b")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert notes == [("one", b"a"), ("one", b"b")]


async def test_a_transport_that_was_closed_meanwhile_keeps_nothing_back(cork):
    notes = []

    cork.write(Wire("closed", notes, is_closed=True), b"a")
    cork.write(Wire("open", notes), b"b")
    await asyncio.sleep(0)

    assert notes == [("open", b"b")]


async def test_much_is_not_held(cork):
    notes = []
    wire = Wire("one", notes)

    cork.write(wire, b"a" * 40_000)
    assert notes == []
    cork.write(wire, b"b" * 40_000)

    assert [len(piece) for _, piece in notes] == [40_000, 40_000]
    cork.write(wire, b"c" * 40_000)
    assert len(notes) == 2


async def test_what_is_written_while_it_lets_go_waits_for_the_next_turn(cork):
    notes = []
    following = Wire("following", notes)

    class Answering(Wire):
        def write(self, piece):
            super().write(piece)
            cork.write(following, b"b")

    cork.write(Answering("first", notes), b"a")
    await asyncio.sleep(0)
    assert notes == [("first", b"a")]
    await asyncio.sleep(0)

    assert notes == [("first", b"a"), ("following", b"b")]


async def test_a_loop_has_one_cork():
    loop = asyncio.get_running_loop()

    assert cork_of(loop) is cork_of(loop)
