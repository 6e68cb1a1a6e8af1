"""Texts of streams are read without decoding where an event says nothing else, and read the same as if it was."""

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from yiapi.providers.contract import Seen, Unit
from yiapi.providers.openai.chat import Chat, Completion
from yiapi.providers.openai.counting import ChatTap, text_of
from yiapi.providers.openai.counting import used as lines_of

AROUND = {
    "OpenAI": b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","service_tier":"default",'
    b'"system_fingerprint":"fp","choices":[%b],"obfuscation":"aB"}',
    "OpenAI with usage to come": b'{"id":"1","object":"chat.completion.chunk","model":"m","choices":[%b],"usage":null}',
    "DeepSeek": b'{"id":"1","choices":[%b],"created":1,"model":"m","object":"chat.completion.chunk"}',
    "nothing else": b'{"choices":[%b]}',
    "usage first": b'{"usage":null,"choices":[%b]}',
}
CHOICES = {
    "plain": b'{"index":0,"delta":{"content":%b},"finish_reason":null}',
    "with logprobs": b'{"index":0,"delta":{"content":%b},"logprobs":null,"finish_reason":null}',
}
SLOW_CHOICES = {
    "a role": b'{"index":0,"delta":{"role":"assistant","content":%b},"finish_reason":null}',
    "an end": b'{"index":0,"delta":{"content":%b},"finish_reason":"stop"}',
    "an end without logprobs": b'{"index":0,"delta":{"content":%b},"logprobs":null,"finish_reason":"length"}',
    "an end that comes first": b'{"finish_reason":"stop","index":0,"delta":{"content":%b}}',
    "a refusal": b'{"index":0,"delta":{"content":%b,"refusal":" no"},"finish_reason":null}',
    "reasoning": b'{"index":0,"delta":{"reasoning_content":%b},"finish_reason":null}',
    "reasoning beside it": b'{"index":0,"delta":{"content":%b,"reasoning_content":"so"},"finish_reason":null}',
    "a tool call": b'{"index":0,"delta":{"content":%b,"tool_calls":[{"index":0}]},"finish_reason":null}',
    "a tool call before it": b'{"index":0,"delta":{"tool_calls":[{"index":0}],"content":%b},"finish_reason":null}',
    "a function call": b'{"index":0,"delta":{"content":%b,"function_call":{"name":"f"}},"finish_reason":null}',
    "sound": b'{"index":0,"delta":{"content":%b,"audio":{"data":"AA"}},"finish_reason":null}',
    "logprobs": b'{"index":0,"delta":{"content":%b},"logprobs":{"content":[]},"finish_reason":null}',
    "no text": b'{"index":0,"delta":{"content":null},"finish_reason":null}',
    "parts": b'{"index":0,"delta":{"content":[%b]},"finish_reason":null}',
    "two pieces": b'{"index":0,"delta":{"content":"a"},"finish_reason":null},'
    b'{"index":1,"delta":{"content":%b},"finish_reason":null}',
    "two pieces, one at its end": b'{"index":0,"delta":{"content":"a"},"finish_reason":null},'
    b'{"index":1,"delta":{"content":%b},"finish_reason":"stop"}',
}
TEXTS = st.text(st.characters(codec="utf-8"), max_size=30) | st.text('"\\/\n\r\t{}[]:,u0a é😀', max_size=12)


def escaped(text):
    """Write a text with every character escaped."""
    return b'"' + b"".join(b"\\u%04x" % unit for unit in utf_16(text)) + b'"'


def utf_16(text):
    raw = text.encode("utf-16-be")
    return [raw[at] << 8 | raw[at + 1] for at in range(0, len(raw), 2)]


WRITERS = {
    "ASCII": lambda text: json.dumps(text).encode(),
    "UTF-8": lambda text: json.dumps(text, ensure_ascii=False).encode(),
    "msgspec": msgspec.json.encode,
    "slashes escaped": lambda text: json.dumps(text).replace("/", "\\/").encode(),
    "every character escaped": escaped,
}
EVENTS = st.builds(
    lambda around, choice, write, text: (b"data: %b\n\n" % (around % (choice % write(text))), text),
    st.sampled_from(list(AROUND.values())),
    st.sampled_from(list(CHOICES.values())),
    st.sampled_from(list(WRITERS.values())),
    TEXTS,
)
SLOW_EVENTS = st.builds(
    lambda around, choice, write, text: b"data: %b\n\n" % (around % choice.replace(b"%b", write(text))),
    st.sampled_from(list(AROUND.values())),
    st.sampled_from(list(SLOW_CHOICES.values())),
    st.sampled_from(list(WRITERS.values())),
    TEXTS,
)
OTHER_EVENTS = st.sampled_from(
    [
        b"data: [DONE]\n\n",
        b": ping\n\n",
        b"\n",
        b'data: {"choices":[]}\n\n',
        b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n',
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n',
        b'data: {"error":{"message":"no"}}\n\n',
    ]
)


def event_of(text=b'"Hello"', choice=CHOICES["plain"], around=AROUND["OpenAI"]):
    return b"data: %b\n\n" % (around % choice.replace(b"%b", text))


def tap_of(**fields):
    return ChatTap(msgspec.convert({"model": "m", "messages": [msgspec.Raw(b"{}")]} | fields, Chat))


def decoded(event):
    """Return what an event says, read as a vendor's client reads it."""
    chunk = msgspec.json.decode(event[6:-2], type=Completion)
    return "".join(choice.delta.text() for choice in chunk.choices or () if choice.delta)


# A text alone


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("text", [b"Hello", b" ", b"\\n\\n", "é 漢 😀".encode(), b"\\ud83d\\ude00", b"\\\\ a", b"{}]"])
def test_a_text_alone_is_found_as_it_stands(around, choice, text):
    assert text_of(event_of(b'"%b"' % text, choice, around)) == text


@given(EVENTS)
def test_what_is_found_is_the_text_of_the_event(written):
    event, text = written

    found = text_of(event)

    assert found is None or msgspec.json.decode(b'"%b"' % found) == text
    assert decoded(event) == text


@given(EVENTS)
def test_a_plain_text_is_found_unless_it_has_quotes_or_ends_with_a_backslash(written):
    event, text = written

    is_plain = bool(text) and '"' not in text and not text.endswith("\\")

    assert text_of(event) is not None or not is_plain


@given(TEXTS.filter(bool), st.sampled_from(["ASCII", "UTF-8", "msgspec"]))
@example('"', "ASCII")
@example('a"', "ASCII")
@example('a" b', "UTF-8")
@example("\\", "ASCII")
@example("\\\\", "msgspec")
@example('"},"finish_reason":null}]', "UTF-8")
@example('\\"},"finish_reason":null}]', "UTF-8")
def test_a_text_with_quotes_or_a_backslash_at_its_end_is_decoded(text, writer):
    quoted = f'{text}"{text}'
    for odd in (quoted, text + '"', '"' + text, text + "\\", text + '\\"'):
        assert text_of(event_of(WRITERS[writer](odd))) is None
        tap = tap_of()
        tap.see(event_of(WRITERS[writer](odd)))
        assert tap.text() == odd


def test_a_text_that_looks_like_an_event_is_a_text():
    inside = event_of().decode().strip()

    tap = tap_of()
    tap.see(event_of(WRITERS["UTF-8"](inside)))

    assert tap.text() == inside


def test_an_empty_text_is_none():
    assert text_of(event_of(b'""')) is None


# More than a text


@pytest.mark.parametrize("choice", SLOW_CHOICES.values(), ids=SLOW_CHOICES)
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_a_choice_that_says_more_is_decoded(choice, around):
    assert text_of(event_of(choice=choice, around=around)) is None


@given(SLOW_EVENTS)
def test_a_choice_that_says_more_is_never_taken_for_a_text(event):
    assert text_of(event) is None


@pytest.mark.parametrize(
    "around",
    [
        b'{"choices":[%b],"usage":{"prompt_tokens":1,"completion_tokens":2}}',
        b'{"usage":{"prompt_tokens":1,"completion_tokens":2},"choices":[%b]}',
        b'{"choices":[%b],"x_groq":{"usage":{"prompt_tokens":1}}}',
        b'{"choices":[%b],"error":{"message":"no"}}',
        b'{"choices":[%b],"error": "no"}',
        b'{"error":{"message":"no"},"choices":[%b]}',
    ],
)
@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_an_event_with_usage_or_an_error_is_decoded(around, choice):
    assert text_of(event_of(choice=choice, around=around)) is None


@pytest.mark.parametrize(
    "event",
    [
        b"event: message\n" + event_of(),
        b"id: 1\n" + event_of(),
        event_of()[:-1] + b"id: 1\n\n",
        event_of()[:-1] + b"data: \n\n",
        b": comment\n" + event_of(),
        event_of().removeprefix(b"data: "),
        event_of().replace(b"data: ", b"data:"),
        event_of()[:-1],
        event_of().replace(b'"choices"', b'\ndata: "choices"'),
        b"\xef\xbb\xbf" + event_of(),
    ],
)
def test_an_event_of_other_lines_is_decoded(event):
    assert text_of(event) is None


@pytest.mark.parametrize(
    "written",
    [
        event_of().replace(b'":', b'": '),
        event_of().replace(b",", b", "),
        event_of().replace(b'{"content"', b'{ "content"'),
        event_of().replace(b"null}", b"null }"),
    ],
)
def test_an_event_with_spaces_is_decoded_and_read_the_same(written):
    tap = tap_of()

    assert text_of(written) is None
    assert tap.see(written) is Seen.CONTENT
    assert tap.text() == "Hello"


@pytest.mark.parametrize("at", range(len(event_of())))
def test_an_event_that_was_cut_anywhere_is_no_text(at):
    assert text_of(event_of()[:at]) is None


# The tap


def whole(events):
    """Return text, usage and verdicts of a stream, with every event decoded."""
    texts, used, seen = [], None, []
    for event in events:
        if not event.startswith(b"data: ") or event == b"data: [DONE]\n\n":
            seen.append(Seen.END if event.startswith(b"data: ") else Seen.PASS)
            continue
        chunk = msgspec.json.decode(event[6:-2], type=Completion)
        if chunk.error is not None:
            seen.append(Seen.ERROR)
            continue
        used = chunk.usage or used
        choices = chunk.choices or []
        texts.append(decoded(event))
        has_content = any(
            choice.finish_reason or (choice.delta and (choice.delta.text() or choice.delta.audio)) for choice in choices
        )
        hides = chunk.usage is not None and not choices
        seen.append(Seen.HIDE if hides else Seen.CONTENT if has_content else Seen.PASS)
    return "".join(texts), used and lines_of(used, "m"), seen


@given(st.lists(EVENTS.map(lambda written: written[0]) | SLOW_EVENTS | OTHER_EVENTS, max_size=12))
def test_a_tap_says_the_same_as_decoding_each_event(events):
    tap = tap_of()

    seen = [tap.see(event) for event in events]

    assert (tap.text(), tap.usage(), seen) == whole(events)


ALIKE = st.builds(
    lambda around, choice, write, said: [
        b"data: %b\n\n" % (around % choice.replace(b"%b", write(text))) for text in said
    ],
    st.sampled_from(list(AROUND.values())),
    st.sampled_from(list(CHOICES.values()) + list(SLOW_CHOICES.values())),
    st.sampled_from(list(WRITERS.values())),
    st.lists(TEXTS, min_size=1, max_size=6),
)
TRICKS = (
    b'a"},"finish_reason":"stop","delta":{"content":"b',  # ends the text, and goes on as if nothing had happened
    b"a\\",
    b'\\","refusal":"no',
)


@given(st.lists(ALIKE, min_size=1, max_size=4).map(lambda runs: [event for run in runs for event in run]))
def test_events_that_come_again_with_another_text_are_read_the_same(events):
    tap = tap_of()

    seen = [tap.see(event) for event in events]

    assert (tap.text(), tap.usage(), seen) == whole(events)


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("around", AROUND)
def test_what_is_around_a_text_is_not_believed_when_the_text_has_quotes_or_escapes(around, trick):
    plain, tricky = (
        b"data: %b\n\n" % (AROUND[around] % (CHOICES["plain"] % (b'"%b"' % text))) for text in (b"so ", trick)
    )
    fresh, warm = tap_of(), tap_of()
    assert warm.see(plain) is Seen.CONTENT

    told = []
    for tap in (fresh, warm):
        try:
            told.append(tap.see(tricky))
        except ValueError:
            told.append(ValueError)

    assert told[0] is told[1]
    assert warm.text() == "so " + fresh.text()


def test_a_tap_says_what_was_said_so_far():
    tap = tap_of()

    for event in (event_of(b'"a\\n"'), event_of(b'"\\"b\\""'), event_of('"é"'.encode())):
        assert tap.see(event) is Seen.CONTENT

    assert tap.text() == tap.text() == 'a\n"b"é'
    assert tap.usage() is None
    assert tap.error() is None


def test_usage_behind_texts_is_read_and_hidden():
    tap = tap_of()
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\n'

    assert [tap.see(event_of()), tap.see(usage)] == [Seen.CONTENT, Seen.HIDE]

    assert [(line.unit, line.quantity) for line in tap.usage()] == [(Unit.TOKEN_IN, 7), (Unit.TOKEN_OUT, 2)]


def test_usage_beside_a_text_is_read():
    tap = tap_of()

    tap.see(event_of(around=b'{"choices":[%b],"usage":{"prompt_tokens":7,"completion_tokens":2}}'))

    assert tap.text() == "Hello"
    assert [line.quantity for line in tap.usage()] == [7, 2]


def test_an_error_beside_a_text_is_an_error():
    tap = tap_of()

    assert tap.see(event_of(around=b'{"choices":[%b],"error":{"message":"no"}}')) is Seen.ERROR
    assert tap.error()["error"] == {"message": "no"}


@pytest.mark.parametrize("text", [b"\xff", b"\x01", b"\\x", b"\\u12", b"\\ud83d"])
def test_a_text_that_is_no_json_is_counted_all_the_same(text):
    tap = tap_of()

    tap.see(event_of(b'"a%bb"' % text))

    assert tap.text().startswith("a")
    assert tap.text().endswith("b")
