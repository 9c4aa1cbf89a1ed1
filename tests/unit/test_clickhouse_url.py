"""Connection URLs: what they mean, and that a password never shows."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.support.failures import failure_of

from hansei.errors import UsageError
from hansei.tools.clickhouse import Target, parse_url

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("chdb://", Target("chdb")),
        ("chdb:///", Target("chdb")),
        ("chdb://?database=lf", Target("chdb", database="lf")),
        ("chdb:///data/db", Target("chdb", path="/data/db")),
        ("chdb:///data/my%20db?database=lang%2Ffuse", Target("chdb", path="/data/my db", database="lang/fuse")),
        ("  chdb:///data/db\n", Target("chdb", path="/data/db")),
        ("clickhouse://host", Target("http", host="host", port=8123, username="default")),
        ("clickhouses://host", Target("http", host="host", port=8443, username="default", secure=True)),
        (
            "clickhouse://me:a%40b%2F%23@host:9123/lf",
            Target("http", host="host", port=9123, username="me", password=SecretStr("a@b/#"), database="lf"),
        ),
        ("clickhouse://me@host/lf/", Target("http", host="host", port=8123, username="me", database="lf")),
        ("clickhouse://[::1]:9000/x", Target("http", host="::1", port=9000, username="default", database="x")),
        ("CLICKHOUSE://HOST", Target("http", host="host", port=8123, username="default")),
        (
            "clickhouse://me:a@b@host",
            Target("http", host="host", port=8123, username="me", password=SecretStr("a@b")),
        ),
    ],
)
def test_urls_are_taken_apart(url: str, target: Target) -> None:
    assert parse_url(url) == target
    assert parse_url(SecretStr(url)) == target
    assert parse_url(url).password.get_secret_value() == target.password.get_secret_value()


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("", "chdb:///"),
        ("s3cret", "chdb:///"),
        ("postgres://me:s3cret@host", "clickhouse://"),
        ("https://me:s3cret@host:8443", "clickhouses://"),
        ("http://me:s3cret@host:8123", "clickhouse://"),
        ("chdb://s3cret/dir", "three slashes"),
        ("chdb://data", "three slashes"),
        ("chdb:///dir?databse=s3cret", "database=name"),
        ("chdb:///dir?database=a&password=s3cret", "database=name"),
        ("chdb:///dir%00s3cret", "chdb:///"),
        ("clickhouse://", "clickhouse://user"),
        ("clickhouse://me:s3cret@", "clickhouse://user"),
        ("clickhouse://me:s3cret@host:0", "number"),
        ("clickhouse://me:s3cret@host:99999", "number"),
        ("clickhouse://me:s3cret@host:http", "number"),
        ("clickhouse://me:12#s3cret@host:8123/lf", "%23"),
        ("clickhouse://me:s3/cret@host:8123/lf", "%2F"),
        ("clickhouse://me:s3cret@host:8123/lf?secure=s3cret", "%3F"),
        ("clickhouse://me:s3cret@host:8123/a/b", "alone"),
        ("clickhouse://me:s3cret@[::1:8123", "clickhouse://user"),
    ],
)
def test_other_urls_are_refused_with_a_remedy(url: str, remedy: str) -> None:
    error = failure_of(lambda: parse_url(url), UsageError, "s3cret", "s3/cret")
    assert remedy in error.remedy


@given(user=texts, password=texts, database=texts)
def test_any_user_password_and_database_survive_percent_encoding(user: str, password: str, database: str) -> None:
    encoded = (quote(text, safe="") for text in (user, password, database))
    target = parse_url("clickhouses://{}:{}@host/{}".format(*encoded))

    assert (target.username, target.password.get_secret_value(), target.database) == (user, password, database)
    assert parse_url(target.display) == Target(
        "http", host="host", port=8443, username=user, database=database, secure=True
    )


@given(path=texts.filter(lambda text: "\0" not in text and text.strip("/")), database=texts)
def test_any_directory_survives_percent_encoding(path: str, database: str) -> None:
    target = parse_url(f"chdb:///{quote(path)}?database={quote(database, safe='')}")

    assert (target.path, target.database) == (f"/{path}", database)
    assert parse_url(target.display) == target


@pytest.mark.parametrize("url", ["clickhouse://me:hunter2@host/lf", "clickhouses://me:hunter2@[::1]:1/lf"])
def test_the_password_is_not_shown(url: str) -> None:
    target = parse_url(url)

    assert "hunter2" not in repr(target) + str(target) + target.display
    assert target.display == url.replace(":hunter2", "").replace("@host/", "@host:8123/")
