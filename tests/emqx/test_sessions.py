import logging

import pytest

from otel_emqx_monitor.config import Config
from otel_emqx_monitor.config.model import EmqxConfig
from otel_emqx_monitor.emqx.answers import Answer
from otel_emqx_monitor.emqx.errors import Closed
from otel_emqx_monitor.emqx.http import Http
from otel_emqx_monitor.emqx.sessions import Sessions
from tests.peers import answering, http, peer


def config(url: str, *, ssl: bool = True) -> EmqxConfig:
    given = {"api_key": "k", "api_secret": "s", "api_url": url, "alias": "b", "ssl": ssl}
    return Config.model_validate({"emqx": given}).emqx


def ask(session: Http) -> bytes:
    def body_of(answer: Answer) -> bytes:
        return answer.body

    with session.deadline(5) as deadline:
        return session.get("/clients", body_of, deadline)


def test_closing_ends_every_session_and_those_that_are_opened_later() -> None:
    with peer(answering(http("200 OK", b"hello"))) as broker:
        sessions = Sessions(config(broker.url))
        one, two = sessions.open(), sessions.open()
        assert [ask(one), ask(two)] == [b"hello", b"hello"]
        sessions.close()
        for session in (one, two, sessions.open()):
            with pytest.raises(Closed):
                ask(session)


def test_a_session_that_is_dropped_ends_alone() -> None:
    with peer(answering(http("200 OK", b"hello"))) as broker:
        sessions = Sessions(config(broker.url))
        one, two = sessions.open(), sessions.open()
        sessions.drop(one)
        with pytest.raises(Closed):
            ask(one)
        assert ask(two) == b"hello"


def test_a_connection_that_is_not_verified_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    sessions = Sessions(config("https://emqx/api/", ssl=False))
    sessions.open()
    sessions.open()
    assert [record.getMessage() for record in caplog.records] == [
        "emqx.ssl is false: anybody on the way can read and use the API key"
    ]
