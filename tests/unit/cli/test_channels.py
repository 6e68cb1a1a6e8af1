"""``yiapi channel``."""

import pytest

SECRET = "sk-vendor-0123456789abcdef"


@pytest.fixture
def create(ask, vendor):
    """Make a channel to the vendor of the tests."""

    def make(provider, *more):
        given = ("--credential", SECRET, "--base-url", vendor.url, "--permit-host", vendor.host)
        return ask("channel", "create", "--provider", provider, *given, *more)["id"]

    return make


def test_a_credential_is_never_shown_again(run, data, create):
    channel_id = create("openai")

    seen = run("channel", "list").output + run("channel", "show", channel_id).output

    assert channel_id in seen
    assert "…cdef" in seen
    assert SECRET not in seen
    assert SECRET.encode() not in (data / "yiapi.db").read_bytes()


def test_credentials_come_from_files_and_standard_input(ask, tmp_path):
    (tmp_path / "key").write_text(f"{SECRET}\n")

    made = ask(
        *("channel", "create", "--provider", "openai", "--credential", f"@{tmp_path / 'key'}", "--credential", "-"),
        input="sk-vendor-another-one-1234\n",
    )

    assert made["credentials"] == ["…cdef", "…1234"]


def test_a_channel_keeps_what_was_chosen_and_hides_its_settings(ask, create):
    chosen = ("--weight", 3, "--priority", 2, "--groups", "a,b", "--models", "gpt-*", "--parallel", 9)
    channel_id = create("openai", *chosen, "--model-name", "gpt-4o=deployment-1", "--setting", "token=hidden")

    shown = ask("channel", "show", channel_id)

    assert (shown["weight"], shown["priority"], shown["parallel"]) == (3, 2, 9)
    assert (shown["groups"], shown["models"]) == (["a", "b"], ["gpt-*"])
    assert shown["model_names"] == {"gpt-4o": "deployment-1"}
    assert shown["settings"] == ["token"]


@pytest.mark.parametrize(
    ("wrong", "status", "text"),
    [
        (("--provider", "nobody", "--credential", "k"), 1, "no provider is named nobody"),
        (("--provider", "openai", "--credential", "@/nowhere/at/all"), 2, "/nowhere/at/all"),
        (("--provider", "openai", "--credential", "k", "--setting", "name"), 2, "a pair is written name=value"),
        (("--provider", "openai", "--credential", "k", "--base-url", "http://127.0.0.1:9"), 1, "a base URL is https"),
    ],
)
def test_what_cannot_be_a_channel_is_one_line(run, wrong, status, text):
    result = run("channel", "create", *wrong)

    assert result.exit_code == status
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_channel_is_switched_off_and_on(ask, create):
    channel_id = create("openai")

    off = ask("channel", "disable", channel_id, "--reason", "too dear")
    on = ask("channel", "enable", channel_id)

    assert (off["enabled"], off["reason"]) == (False, "too dear")
    assert on["enabled"] is True


def test_a_chat_is_tried_with_one_token(ask, vendor, create):
    channel_id = create("openai", "--model-name", "gpt-4o=deployment-1")

    said = ask("channel", "test", channel_id, "--model", "gpt-4o", "--permit-host", vendor.host)

    assert (said["status"], said["fault"]) == (200, None)
    assert said["latency_ms"] >= 0
    [(method, path, shown, body)] = vendor.asked
    assert (method, path, shown) == ("POST", "/v1/chat/completions", f"Bearer {SECRET}")
    assert (body["model"], body["max_tokens"]) == ("deployment-1", 1)


def test_the_cheapest_model_of_the_channel_is_asked(ask, vendor, create):
    channel_id = create("openai", "--models", "gpt-4o,gpt-4o-mini")

    assert ask("channel", "test", channel_id, "--permit-host", vendor.host)["model"] == "gpt-4o-mini"


def test_a_refused_credential_is_named_without_the_credential(run, vendor, create):
    channel_id = create("openai")
    vendor.status = 401
    vendor.answer = {"error": {"message": f"Incorrect API key: {SECRET}", "code": "invalid_api_key"}}

    result = run("channel", "test", channel_id, "--permit-host", vendor.host)

    assert result.exit_code == 1
    assert "credential" in result.stdout
    assert SECRET not in result.output


def test_a_test_neither_disables_the_channel_nor_moves_money(run, ask, vendor, create):
    channel_id = create("openai")
    vendor.status, vendor.answer = 401, {"error": {"message": "no"}}

    run("channel", "test", channel_id, "--permit-host", vendor.host)

    assert ask("channel", "show", channel_id)["enabled"] is True
    assert ask("check")["lines"][0].startswith("0 postings")


def test_a_provider_without_chat_is_only_knocked_at(ask, vendor, create):
    channel_id = create("ideogram")
    vendor.status = 404

    said = ask("channel", "test", channel_id, "--permit-host", vendor.host)

    assert (said["asked"], said["status"], said["fault"]) == ("address", 404, None)
    assert vendor.asked == [("GET", "/", None, None)]


def test_a_vendor_that_is_not_there_is_unavailable(run, vendor, create):
    channel_id = create("ideogram")

    result = run("channel", "test", channel_id)  # its host is not permitted, so no connection is made

    assert result.exit_code == 1
    assert "unavailable" in result.stdout
    assert vendor.asked == []
