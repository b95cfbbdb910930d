from otel_emqx_monitor.events.objects import differences, masked, merged


def test_differences_are_named_down_through_what_is_nested() -> None:
    wanted = {"enable": True, "parameters": {"path": "/events", "headers": {"a": "1", "b": "2"}}}
    present = {"enable": True, "parameters": {"path": "/old", "headers": {"a": "1"}}, "more": 1}
    assert differences(wanted, present) == ["parameters.path", "parameters.headers.b"]


def test_what_emqx_masks_is_no_difference() -> None:
    assert differences({"headers": {"token": "x"}}, {"headers": {"token": "******"}}) == []


def test_wanted_settings_lie_over_those_that_are_kept() -> None:
    kept = {"pool_size": 3, "ssl": {"enable": False, "verify": "verify_peer"}}
    assert merged(kept, {"url": "u", "ssl": {"enable": True}}) == {
        "pool_size": 3,
        "ssl": {"enable": True, "verify": "verify_peer"},
        "url": "u",
    }
    assert kept["ssl"] == {"enable": False, "verify": "verify_peer"}


def test_headers_and_what_is_called_a_secret_are_not_shown() -> None:
    body = {
        "headers": {"content-type": "application/json", "X-Api-Key": "k"},
        "ssl": {"password": "p", "verify": "verify_none"},
        "clientSecret": "s",
        "token": "",
        "url": "http://agent",
    }
    assert masked(body) == {
        "headers": {"content-type": "application/json", "X-Api-Key": "********"},
        "ssl": {"password": "********", "verify": "verify_none"},
        "clientSecret": "********",
        "token": "",
        "url": "http://agent",
    }
