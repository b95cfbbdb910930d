"""What connectors, actions and rules hold: which fields, their defaults, and which are secret.

The defaults are those recorded on EMQX 5.8.9.
"""

from collections.abc import Collection, Mapping
from enum import StrEnum

Config = dict[str, object]

_MASK = "******"
_SECRETS = frozenset({"authorization", "password", "token", "secret"})


class Kind(StrEnum):
    """What there is, by its path below ``/api/v5``."""

    CONNECTOR = "connectors"
    ACTION = "actions"
    RULE = "rules"


FIELDS: Mapping[Kind, Collection[str]] = {
    Kind.CONNECTOR: (
        *("connect_timeout", "description", "enable", "enable_pipelining", "headers"),
        *("pool_size", "pool_type", "resource_opts", "ssl", "url"),
    ),
    Kind.ACTION: ("connector", "description", "enable", "parameters", "resource_opts"),
    Kind.RULE: ("actions", "description", "enable", "metadata", "name", "sql"),
}
#: What only a ``POST`` may hold.
NAMES: Mapping[Kind, Collection[str]] = {
    Kind.CONNECTOR: ("type", "name"),
    Kind.ACTION: ("type", "name"),
    Kind.RULE: ("id",),
}
DEFAULTS: Mapping[Kind, Config] = {
    Kind.CONNECTOR: {
        "connect_timeout": "15s",
        "description": "",
        "enable": True,
        "enable_pipelining": 100,
        "headers": {},
        "pool_size": 8,
        "pool_type": "random",
        "resource_opts": {
            "health_check_interval": "15s",
            "start_after_created": True,
            "start_timeout": "5s",
        },
        "ssl": {
            "ciphers": [],
            "depth": 10,
            "enable": False,
            "hibernate_after": "5s",
            "log_level": "notice",
            "reuse_sessions": True,
            "secure_renegotiate": True,
            "verify": "verify_none",
            "versions": ["tlsv1.3", "tlsv1.2"],
        },
    },
    Kind.ACTION: {
        "description": "",
        "enable": True,
        "parameters": {"headers": {}, "max_retries": 2, "method": "post"},
        "resource_opts": {
            "health_check_interval": "15s",
            "inflight_window": 100,
            "max_buffer_bytes": "256MB",
            "query_mode": "async",
            "request_ttl": "45s",
            "worker_pool_size": 16,
        },
    },
    Kind.RULE: {"description": "", "enable": True, "actions": []},
}


def merged(under: Mapping[str, object], over: Mapping[str, object]) -> Config:
    """Return ``over`` laid over ``under``, down through what is nested."""
    both = dict(under)
    for name, value in over.items():
        there = both.get(name)
        if isinstance(value, dict) and isinstance(there, dict):
            both[name] = merged(there, value)
        else:
            both[name] = value
    return both


def masked(config: Mapping[str, object]) -> Config:
    """Return ``config`` as EMQX shows it: without secrets."""
    return {
        name: masked(value)
        if isinstance(value, dict)
        else (_MASK if name.lower() in _SECRETS else value)
        for name, value in config.items()
    }


def unmasked(given: Mapping[str, object], stored: Mapping[str, object]) -> Config:
    """Return what is ``given``, with the stored secret where a mask was sent back."""
    result: Config = {}
    for name, value in given.items():
        there = stored.get(name)
        if isinstance(value, dict):
            result[name] = unmasked(value, there if isinstance(there, dict) else {})
        else:
            result[name] = there if value == _MASK and there is not None else value
    return result
