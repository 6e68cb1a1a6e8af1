"""What a station accepts as its configuration, and what it refuses with one line."""

import os
from decimal import Decimal

import pytest

from yiapi.secrets import SecretUnusable, ServerSecret
from yiapi.settings import NOT_SETTINGS, Settings, SettingsUnusable, load_settings

SECRET = "a-secret-of-more-than-32-characters"


@pytest.fixture(autouse=True)
def empty_folder(monkeypatch, tmp_path):
    """Start each test without settings, in an empty folder."""
    for name in [name for name in os.environ if name.startswith("YIAPI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(**options):
    with pytest.raises(SettingsUnusable) as refused:
        load_settings(**options)
    return str(refused.value)


def test_without_anything_all_is_kept_in_the_data_folder(empty_folder):
    settings = load_settings()

    assert settings.database_url == f"sqlite:///{empty_folder}/data/yiapi.db"
    assert settings.assets_url == f"file://{empty_folder}/data/assets"
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.sandbox_url == "http://127.0.0.1:8090"


def test_an_argument_goes_before_a_variable_and_a_variable_before_the_default(monkeypatch):
    monkeypatch.setenv("YIAPI_PORT", "9000")
    monkeypatch.setenv("YIAPI_HOST", "0.0.0.0")

    settings = load_settings(port=9001)

    assert (settings.port, settings.host, settings.workers) == (9001, "0.0.0.0", 1)


def test_an_argument_that_was_not_given_leaves_the_variable(monkeypatch):
    monkeypatch.setenv("YIAPI_PORT", "9000")

    assert load_settings(port=None).port == 9000


def test_an_empty_variable_is_not_given(monkeypatch):
    monkeypatch.setenv("YIAPI_REDIS", "")

    assert load_settings().redis is None


def test_an_unknown_variable_is_refused_with_the_name_that_was_meant(monkeypatch):
    monkeypatch.setenv("YIAPI_PROT", "9000")

    assert refusal() == "YIAPI_PROT is no setting; did you mean YIAPI_PORT?"


@pytest.mark.parametrize("name", sorted(NOT_SETTINGS))
def test_variables_of_the_documents_and_tests_are_left_alone(monkeypatch, name):
    monkeypatch.setenv(name, "x")

    assert load_settings().port == 8080


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"port": 65536}, "YIAPI_PORT"),
        ({"workers": 0}, "YIAPI_WORKERS"),
        ({"drain_s": 41}, "YIAPI_DRAIN_S"),
        ({"database": "mysql://somewhere"}, "YIAPI_DATABASE"),
        ({"redis": "http://somewhere"}, "YIAPI_REDIS"),
        ({"assets": "ftp://somewhere"}, "YIAPI_ASSETS"),
        ({"base_url": "station.example"}, "YIAPI_BASE_URL"),
        ({"base_url": "https://station.example/?a=1"}, "YIAPI_BASE_URL"),
        ({"log_level": "loud"}, "YIAPI_LOG_LEVEL"),
        ({"colour": "red"}, "YIAPI_COLOUR"),
        ({"port": 9000, "sandbox_port": 9000}, "YIAPI_SANDBOX_PORT"),
        ({"lease_s": 10, "lease_renew_s": 10}, "YIAPI_LEASE_RENEW_S"),
        ({"poll_floor_s": 2, "poll_ceiling_s": 1}, "YIAPI_POLL_FLOOR_S"),
    ],
    ids=str,
)
def test_a_value_that_cannot_be_is_refused_in_one_line_that_names_it(options, name):
    line = refusal(**options)

    assert name in line
    assert "\n" not in line


@pytest.mark.parametrize("secret", ["short", "a" * 64, "changeme"])
def test_a_weak_secret_is_refused_and_not_repeated(secret):
    line = refusal(secret=secret)

    assert "YIAPI_SECRET" in line
    assert secret not in line


@pytest.mark.parametrize("secret", ["a" * 31, "abcdefgh" * 4, "abcdefg" * 5, SECRET, ""])
def test_settings_and_server_secret_agree_on_what_is_weak(secret):
    def refuses(use, error):
        try:
            use(secret)
        except error:
            return True
        return False

    assert refuses(lambda text: load_settings(secret=text), SettingsUnusable) == refuses(ServerSecret, SecretUnusable)


def test_a_weak_secret_in_the_data_folder_is_refused(empty_folder):
    (empty_folder / "secret").write_text("short\n")

    assert refusal(data=empty_folder).startswith(str(empty_folder / "secret"))


def test_an_unreadable_secret_in_the_data_folder_is_refused(empty_folder):
    (empty_folder / "secret").mkdir()

    assert "cannot be read" in refusal(data=empty_folder)


def test_a_given_secret_makes_the_file_unimportant(empty_folder):
    (empty_folder / "secret").write_text("short")

    assert load_settings(data=empty_folder, secret=SECRET).secret.get_secret_value() == SECRET


def test_permits_come_from_the_variable_apart_by_commas(monkeypatch):
    monkeypatch.setenv("YIAPI_PERMIT_HOST", "127.0.0.1, hooks.internal:8000")

    assert load_settings().permits == {"127.0.0.1", "hooks.internal:8000"}


def test_the_sandbox_is_permitted_to_its_own_channels_only():
    settings = load_settings(sandbox_port=9090)

    assert settings.permits == frozenset()
    assert settings.sandbox_permits == {"127.0.0.1:9090"}


def test_without_a_sandbox_there_is_nothing_to_permit():
    settings = load_settings(sandbox=False)

    assert settings.sandbox_url is None
    assert settings.sandbox_permits == frozenset()


def test_without_a_sandbox_its_port_may_be_ours():
    assert load_settings(port=8090, sandbox=False).port == 8090


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"host": "0.0.0.0", "port": 80}, "http://127.0.0.1:80"),
        ({"host": "::1"}, "http://[::1]:8080"),
        ({"base_url": "https://station.example/"}, "https://station.example"),
    ],
)
def test_links_carry_an_address_that_can_be_reached(options, url):
    assert load_settings(**options).public_url == url


def test_another_process_reads_the_same_from_the_environment(monkeypatch):
    settings = load_settings(
        port=9000,
        data="here",
        sandbox=False,
        secret=SECRET,
        permit_host=("a", "b:1"),
        test_balance_usd=Decimal("1.50"),
        drain_s=1.5,
        database="postgresql://u:p@h/d",
    )

    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)

    assert load_settings() == settings


def test_nothing_secret_is_in_the_printed_form():
    printed = repr(load_settings(secret=SECRET, database="postgresql://u:pass-word@h/d", redis="redis://:pass-word@h"))

    assert SECRET not in printed
    assert "pass-word" not in printed


def test_every_setting_says_what_it_is():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_settings_do_not_change():
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1
