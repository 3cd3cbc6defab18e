"""What is kept out of records: secrets by their names, contents by their length."""

import json
from hashlib import sha256

import pytest

from metaaudit.redaction import argument_pairs, body_pairs, is_secret, path_without, query_pairs


@pytest.mark.parametrize(
    "name",
    ["password", "new_password1", "form.password", "PASSWD", "secret", "client_secret", "token", "csrfmiddlewaretoken",
     "api_key", "apikey", "API-Key", "Authorization", "session", "sessionid", "cookie", "private_key", "--password"],
)  # fmt: skip
def test_a_name_that_sounds_like_a_secret_hides_its_value(name: str) -> None:
    assert is_secret(name)
    assert query_pairs([(name, "hush")]) == [(name, "[redacted]")]


@pytest.mark.parametrize("name", ["actor", "key", "key_id", "passage", "action", "limit", "cursor", "pinned", "reason"])
def test_other_names_do_not(name: str) -> None:
    assert not is_secret(name)


def test_a_body_is_kept_in_short() -> None:
    event = {"actor": "ann"}
    pairs = body_pairs("json", [("reason", "typo"), ("n", 3), ("on", True), ("none", None), ("event", event)])
    digest = sha256(json.dumps(event, separators=(",", ":")).encode()).hexdigest()
    assert pairs == [
        ("json.reason", "typo"),
        ("json.n", "3"),
        ("json.on", "true"),
        ("json.none", "null"),
        ("json.event", f"sha256:{digest} (15 bytes)"),
    ]
    (long,) = body_pairs("form", [("text", "ä" * 600)])
    assert long == ("form.text", f"sha256:{sha256('ä'.encode() * 600).hexdigest()} (1200 bytes)")


def test_a_body_of_many_members_says_how_many_more_there_are() -> None:
    pairs = body_pairs("form", [(f"_selected_{number}", "x") for number in range(1_000)])
    assert (len(pairs), pairs[-1]) == (201, ("form.…", "800 more"))


def test_secrets_in_a_path_go_by_the_names_of_its_parameters() -> None:
    assert path_without("/reset/abc/x", {"token": "abc", "page": "x"}) == "/reset/[redacted]/x"
    assert path_without("/first-login/MQ/abc-def", {}) == "/first-login/[redacted]"
    assert path_without("/logs/abc", {"entry_id": "abc"}) == "/logs/abc"


def test_what_follows_a_secret_option_is_hidden() -> None:
    said = [value for _, value in argument_pairs(["--by", "ann", "--password", "hush", "--token=hush", "x" * 600])]
    assert said[:5] == ["--by", "ann", "--password", "[redacted]", "--token=[redacted]"]
    assert said[5].startswith("sha256:")
    pairs = ["--filter", "data.session_token=hush", "--filter", "actor=ann", "--reason", "the session = over"]
    kept = [value for _, value in argument_pairs(pairs)]
    assert kept == ["--filter", "data.session_token=[redacted]", "--filter", "actor=ann", "--reason", pairs[-1]]
