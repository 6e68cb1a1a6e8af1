"""Midjourney's pure parts: buttons, texts, receipts, tasks, and what goes up to which kind of vendor."""

import json
from types import MappingProxyType

import msgspec
import pytest

from yiapi.errors import InsufficientQuota, InvalidApiKey, NoChannelAvailable, PayloadTooLarge, RateLimited
from yiapi.pricing.files import read_prices
from yiapi.providers.contract import Earlier, FieldMissing, Outgoing, Status, TaskView
from yiapi.providers.midjourney import PROVIDER
from yiapi.providers.midjourney.answers import FAULTS, finished, noted, refused, shown, told
from yiapi.providers.midjourney.buttons import KINDS, button_of
from yiapi.providers.midjourney.requests import Action, Change, Imagine, Modal, SimpleChange, Swap
from yiapi.providers.midjourney.sending import fit, serves
from yiapi.providers.midjourney.words import Refused, envelope

UUID = "3dbbd469-36af-4a0f-8f02-df6c579e7011"
GRID = {
    "buttons": [
        {"customId": f"MJ::JOB::upsample::2::{UUID}"},
        {"customId": f"MJ::JOB::variation::3::{UUID}"},
        {"customId": f"MJ::JOB::reroll::0::{UUID}::SOLO"},
    ]
}


def request(kind, speed=None, **body):
    made = msgspec.json.decode(json.dumps(body), type=kind)
    vars(made)["path_values"] = {"speed": speed} if speed else {}
    return made


def earlier(answer=None, **fields):
    values = {
        "id": "1795000000000001",
        "vendor_id": "1744012345678123",
        "status": Status.SUCCEEDED,
        "model": "mj_imagine",
    }
    names = {"1744012345678123": "1795000000000001"}
    return Earlier(**(values | fields), is_window=False, answer=answer or GRID, asked={}, names=names)


def sent(made, body, settings=None, parent=None, path="/mj/submit/x"):
    outgoing = fit(made, Outgoing(path=path, body=json.dumps(body).encode()), MappingProxyType(settings or {}), parent)
    return outgoing.path, json.loads(outgoing.body)


# Buttons


@pytest.mark.parametrize(
    ("custom_id", "action", "sku", "quantity"),
    [
        (f"MJ::JOB::upsample::1::{UUID}", "UPSCALE", "mj_upscale", 1),
        (f"MJ::JOB::upsample_v7_2x_subtle::1::{UUID}::SOLO", "UPSCALE_HD", "mj_upscale_hd", 1),
        (f"MJ::JOB::upsample_v5_4x::1::{UUID}::SOLO", "UPSCALE_HD", "mj_upscale_hd", 1),
        (f"MJ::JOB::variation::4::{UUID}", "VARIATION", "mj_variation", 1),
        (f"MJ::JOB::low_variation::1::{UUID}::SOLO", "LOW_VARIATION", "mj_low_variation", 1),
        (f"MJ::JOB::high_variation::1::{UUID}::SOLO", "HIGH_VARIATION", "mj_high_variation", 1),
        (f"MJ::JOB::pan_up::1::{UUID}::SOLO", "PAN", "mj_pan", 1),
        (f"MJ::JOB::reroll::0::{UUID}::SOLO", "REROLL", "mj_reroll", 1),
        (f"MJ::Outpaint::100::1::{UUID}::SOLO", "ZOOM", "mj_zoom", 1),
        (f"MJ::CustomZoom::1::{UUID}", "CUSTOM_ZOOM", "mj_custom_zoom", 1),
        (f"MJ::Inpaint::1::{UUID}::SOLO", "INPAINT", "mj_inpaint", 1),
        (f"MJ::BOOKMARK::{UUID}", "BOOKMARK", "mj_bookmark", 1),
        (f"MJ::JOB::animate_low::1::{UUID}::SOLO", "VIDEO", "mj_video", 1),
        ("MJ::JOB::animate_high_extend::1::1744012345678123", "VIDEO", "mj_video", 1),
        (f"MJ::JOB::video::1::{UUID}::SOLO::manual", "VIDEO", "mj_video", 1),
        ("MJ::JOB::video_virtual_upscale::3::1744012345678123", "UPSCALE", "mj_upscale", 1),
        ("MJ::Job::PicReader::4", "IMAGINE", "mj_pic_reader", 1),
        ("MJ::Job::PicReader::all", "IMAGINE", "mj_pic_reader", 4),
        ("MJ::Picread::Retry", "DESCRIBE", "mj_describe", 1),
        ("MJ::Job::PromptAnalyzer::5", "IMAGINE", "mj_pic_reader", 1),
    ],
)
def test_a_button_says_action_and_price(custom_id, action, sku, quantity):
    button = button_of(custom_id)

    assert (button.action, button.sku, button.quantity) == (action, sku, quantity)


@pytest.mark.parametrize("custom_id", ["MJ::Settings::Reset", "MJ::JOB::upsample::9::x", "", "x" * 5000])
def test_a_button_of_no_known_kind_is_refused_in_the_relays_word(custom_id):
    with pytest.raises(Refused) as refusal:
        button_of(custom_id)

    assert refusal.value.message.startswith("unknown_action:")
    assert len(refusal.value.message) < 250


def test_every_sku_has_a_price_with_and_without_a_speed():
    known = {row.sku for row in read_prices("midjourney")}
    asked = [Imagine(prompt="x").priced("mj_imagine"), Swap(source_base64="a", target_base64="b").priced("swap_face")]
    skus = {button.sku for _, button in KINDS} | {usage.sku for usage in asked}
    skus |= {"mj_modal", "mj_blend", "mj_describe", "mj_shorten", "mj_upload"}

    assert skus | {f"{sku}:*" for sku in skus} <= known


def test_a_speed_is_a_variant_of_the_price():
    assert request(Imagine, "turbo", prompt="a fox").priced("mj_imagine").sku == "mj_imagine:turbo"
    assert request(Imagine, prompt="a fox").priced("mj_imagine").sku == "mj_imagine"


def test_a_body_cannot_say_what_the_path_says():
    made = msgspec.json.decode(b'{"prompt": "a", "path_values": {"speed": "fast"}, "speed": "fast"}', type=Imagine)

    assert made.priced("mj_imagine").sku == "mj_imagine"


# What callers send


@pytest.mark.parametrize(
    ("kind", "body", "word"),
    [
        (Imagine, {"prompt": " \n"}, "prompt_is_required"),
        (Action, {"taskId": "", "customId": "x"}, "task_id_is_required"),
        (Action, {"taskId": "1", "customId": " "}, "custom_id_is_required"),
        (Change, {"taskId": "1", "action": "", "index": 1}, "action_is_required"),
        (Change, {"taskId": "1", "action": "ZOOM", "index": 1}, "unknown_action"),
        (Change, {"taskId": "1", "action": "REROLL", "index": 0}, "index_is_required"),
        (Change, {"taskId": "1", "action": "UPSCALE", "index": -1}, "index_parse_failed"),
        (Change, {"taskId": "1", "action": "UPSCALE", "index": 5}, "index_parse_failed"),
        (SimpleChange, {"content": ""}, "content_is_required"),
        (SimpleChange, {"content": "1 U2 "}, "content_parse_failed"),
        (SimpleChange, {"content": "1  U2"}, "content_parse_failed"),
        (SimpleChange, {"content": "1 U5"}, "content_parse_failed"),
        (SimpleChange, {"content": "1 R1"}, "content_parse_failed"),
        (Modal, {"taskId": ""}, "task_id_is_required"),
        (Swap, {"targetBase64": "x"}, "sour_base64_and_target_base64_is_required"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_the_relays_word(kind, body, word):
    with pytest.raises(Refused) as refusal:
        request(kind, **body)

    assert envelope(refusal.value, "r") == {"description": f"{word} ", "type": "upstream_error", "code": 4}


@pytest.mark.parametrize(
    ("content", "action", "index"), [("1 u1", "UPSCALE", 1), ("1 V4", "VARIATION", 4), ("1 r", "REROLL", 1)]
)
def test_a_text_says_action_and_number(content, action, index):
    made = request(SimpleChange, content=content)

    assert (made.task_id, made.action, made.index) == ("1", action, index)


def test_a_face_may_be_named_by_a_link():
    assert request(Swap, sourceUrl="https://a.example/x.png", targetBase64="data:image/png;base64,AA")


# What goes up


def test_the_vendors_id_stands_where_ours_was():
    made = request(Action, taskId="1795000000000001", customId=GRID["buttons"][0]["customId"])

    _, body = sent(made, {"taskId": "1795000000000001", "customId": made.custom_id, "state": "s"}, parent=earlier())

    assert body == {"taskId": "1744012345678123", "customId": made.custom_id, "state": "s"}


def test_an_id_in_a_button_goes_up_as_the_vendor_wrote_it():
    made = request(Action, taskId="1795000000000001", customId="MJ::JOB::animate_high_extend::1::1795000000000001")

    _, body = sent(made, {"taskId": made.task_id, "customId": made.custom_id}, parent=earlier())

    assert body["customId"] == "MJ::JOB::animate_high_extend::1::1744012345678123"


def test_hook_and_account_filter_stay_here_unless_a_setting_lets_them_pass():
    body = {"prompt": "a fox", "notifyHook": "https://a.example/", "accountFilter": {"instanceId": "5"}}
    made = request(Imagine, **body)

    assert sent(made, body)[1] == {"prompt": "a fox"}
    assert sent(made, body, {"forward_hook": True, "forward_account_filter": "true"})[1] == body
    assert sent(made, body, {"forward_hook": "false"})[1] == {"prompt": "a fox"}


def test_speed_flags_go_where_a_channel_wants_them_gone():
    body = {"prompt": "a fox --fast --v 6.1 --relaxed"}
    made = request(Imagine, **body)

    assert sent(made, body)[1] == body
    assert sent(made, body, {"clear_mode": True})[1] == {"prompt": "a fox  --v 6.1 --relaxed"}


def test_a_body_of_which_nothing_must_change_goes_up_to_the_byte():
    raw = b'{ "prompt" : "a\\u0020fox",  "next": {"a": 1.50} }'
    made = msgspec.json.decode(raw, type=Imagine)

    assert fit(made, Outgoing(path="/mj/submit/imagine", body=raw), {}, None).body == raw


@pytest.mark.parametrize(
    ("kind", "body", "button"),
    [
        (Change, {"action": "UPSCALE", "index": 2}, 0),
        (Change, {"action": "VARIATION", "index": 3}, 1),
        (Change, {"action": "REROLL", "index": 1}, 2),
        (SimpleChange, {"content": "1795000000000001 v3"}, 1),
    ],
)
def test_where_change_is_gone_the_button_that_it_names_is_pressed(kind, body, button):
    body |= {"state": "s"} | ({} if kind is SimpleChange else {"taskId": "1795000000000001"})
    made = request(kind, **body)

    path, pressed = sent(made, body, {"kind": "trueai"}, earlier())

    assert path == "/mj/submit/action"
    assert pressed == {"taskId": "1744012345678123", "customId": GRID["buttons"][button]["customId"], "state": "s"}


def test_where_change_is_gone_a_number_without_a_button_is_refused():
    made = request(Change, taskId="1795000000000001", action="UPSCALE", index=4)

    with pytest.raises(Refused, match="unknown_action"):
        sent(made, {"taskId": made.task_id}, {"kind": "trueai"}, earlier())


@pytest.mark.parametrize(
    ("speed", "modes", "is_served"),
    [
        (None, ["fast"], True),
        ("fast", None, True),
        ("fast", ["fast", "relax"], True),
        ("turbo", ["fast", "relax"], False),
        ("fast", ["FAST"], True),
        ("relax", "fast, relax", True),
        ("turbo", "fast, relax", False),
    ],
)
def test_a_channel_serves_the_speeds_that_it_names(speed, modes, is_served):
    assert serves(request(Imagine, speed, prompt="a"), {"modes": modes} if modes else {}) is is_served


# Receipts and refusals

ACCOUNT = {"discordInstanceId": "1118138338562560102", "discordChannelId": "2", "messageId": "3", "instanceId": "4"}


@pytest.mark.parametrize(
    ("code", "description", "properties", "shown_code"),
    [
        (1, "提交成功", {}, 1),
        (22, "排队中", {"numberOfQueues": 2}, 1),
        (21, "任务已存在", {"status": "IN_PROGRESS"}, 1),
        (21, "Waiting for window confirm", {}, 21),
        (21, "窗口", {"remix": True, "finalPrompt": "a fox"}, 21),
    ],
)
def test_a_receipt_is_told_without_the_account(code, description, properties, shown_code):
    answer = {
        "code": code,
        "description": description,
        "result": "1744012345678123",
        "properties": properties | ACCOUNT,
    }

    assert told(answer, "1795000000000001") == {
        "code": shown_code,
        "description": description,
        "result": "1795000000000001",
        "properties": properties,
    }


def test_a_link_of_the_vendor_is_in_no_receipt():
    answer = {"code": 21, "result": "1", "properties": {"status": "SUCCESS", "imageUrl": "https://v.example/x.png"}}

    assert told(answer, "2")["properties"] == {"status": "SUCCESS"}
    assert finished(answer)["imageUrl"] == "https://v.example/x.png"


@pytest.mark.parametrize("properties", [None, [], "x", {"status": "SUCCESS"}, {"status": "SUCCESS", "imageUrl": 7}])
def test_only_a_success_with_a_picture_is_finished(properties):
    assert finished({"code": 21, "result": "1", "properties": properties}) is None


def test_a_window_notes_what_it_waits_with():
    answer = {"code": 21, "description": "Waiting for window confirm", "properties": {"finalPrompt": "a fox"}}

    assert noted(answer, {"action": "ZOOM"}) == {
        "action": "ZOOM",
        "description": "Waiting for window confirm",
        "finalPrompt": "a fox",
        "prompt": "a fox",
    }


def test_a_refusal_passes_without_the_account():
    body = {"code": 24, "description": "可能包含敏感词", "properties": {"promptEn": "x", "bannedWord": "y"} | ACCOUNT}

    assert refused(body) == {
        "code": 24,
        "description": "可能包含敏感词",
        "properties": {"promptEn": "x", "bannedWord": "y"},
    }
    assert refused({"code": 1, "description": "提交成功"}) is None


@pytest.mark.parametrize("body", [[], None, "x", {"status": "SUCCESS"}, {"code": 1}, {"code": 21}, {"code": 22}])
def test_what_has_no_code_or_a_good_one_is_no_refusal(body):
    assert not FAULTS.inside(body)


@pytest.mark.parametrize(
    ("error", "status", "code", "begins"),
    [
        (InsufficientQuota("the wallet is empty"), 402, 4, "quota_not_enough the wallet"),
        (PayloadTooLarge("too large"), 413, 4, "payload_too_large too"),
        (RateLimited("later"), 429, 30, "rate_limited later"),
        (NoChannelAvailable("none"), 503, 5, "get_channel_info_failed none"),
        (
            FieldMissing("Object missing required field `maskBase64`.", param="maskBase64"),
            400,
            4,
            "mask_base64_is_requ",
        ),
    ],
)
def test_our_errors_are_said_as_relays_say_theirs(error, status, code, begins):
    said = envelope(error, "req_1")

    assert (error.status, said["code"], said["type"]) == (status, code, "upstream_error")
    assert said["description"].startswith(begins)


def test_a_bad_key_is_told_in_the_other_envelope():
    assert envelope(InvalidApiKey("no"), "req_1")["error"]["code"] == "invalid_api_key"


# Tasks


def view(status, answer=None, **fields):
    values = {
        "id": "1795000000000001",
        "progress": 46,
        "external_id": None,
        "error_message": None,
        "created_at_ms": 1,
        "updated_at_ms": 2,
    }
    return TaskView(status=status, answer=answer, **(values | fields))


def test_a_preview_is_not_shown():
    answer = {"status": "IN_PROGRESS", "imageUrl": "https://v.example/preview.webp", "buttons": [{"customId": "x"}]}

    task = shown(view(Status.RUNNING, answer))

    assert (task["imageUrl"], task["buttons"], task["progress"]) == (None, [], "46%")


def test_what_is_about_the_account_is_never_shown():
    secret = {"instanceId": "s", "userId": "s", "clientIp": "s", "messageId": "s", "nonce": "s", "thumbnailUrl": "s"}
    answer = {"status": "SUCCESS", "imageUrl": "ours", "properties": secret | {"finalPrompt": "p"}} | secret

    task = shown(view(Status.SUCCEEDED, answer))

    assert '"s"' not in json.dumps(task)
    assert task["properties"] == {"finalPrompt": "p", "finalZhPrompt": None}


@pytest.mark.parametrize(
    ("status", "answer", "asked", "word"),
    [
        (Status.SUBMITTING, None, None, "SUBMITTED"),
        (Status.UNKNOWN, None, None, "SUBMITTED"),
        (Status.QUEUED, None, None, "NOT_START"),
        (Status.QUEUED, None, {"status": "SUBMITTED"}, "SUBMITTED"),
        (Status.RUNNING, {"status": "SUBMITTED"}, None, "SUBMITTED"),
        (Status.RUNNING, {"status": "IN_PROGRESS"}, None, "IN_PROGRESS"),
        (Status.RUNNING, {"status": "SUCCESS"}, None, "IN_PROGRESS"),
        (Status.SUCCEEDED, {"status": "SUCCESS"}, None, "SUCCESS"),
        (Status.FAILED, {"status": "FAILURE"}, None, "FAILURE"),
        (Status.EXPIRED, {"status": "IN_PROGRESS"}, None, "FAILURE"),
        (Status.CANCELLED, {"status": "IN_PROGRESS"}, None, "CANCEL"),
    ],
)
def test_a_state_is_said_in_the_dialects_word(status, answer, asked, word):
    assert shown(view(status, answer, asked=asked))["status"] == word


def test_an_open_window_is_said_to_be_one():
    assert shown(view(Status.QUEUED, is_window=True, progress=0))["status"] == "MODAL"


def test_films_are_shown_without_the_vendors_thumbnails():
    answer = {
        "status": "SUCCESS",
        "videoUrl": "ours-1",
        "videoUrls": [{"url": "ours-1", "thumbnail": "theirs"}, {"url": "ours-2"}],
    }

    task = shown(view(Status.SUCCEEDED, answer))

    assert (task["videoUrl"], task["videoUrls"]) == ("ours-1", [{"url": "ours-1"}, {"url": "ours-2"}])
    assert PROVIDER.operation("imagine").task.links(answer) == ["ours-1", "ours-2"]


@pytest.mark.parametrize("answer", [None, [], {"buttons": None, "properties": None}, {"videoUrls": ["x", None]}])
def test_nonsense_of_a_vendor_is_shown_as_nothing(answer):
    assert shown(view(Status.SUCCEEDED, answer))["buttons"] == []
