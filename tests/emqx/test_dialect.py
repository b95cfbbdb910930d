from dataclasses import replace

import pytest

from otel_emqx_monitor.emqx.dialect import PLAINEST, Dialect, dialect_of

PLAIN_5_4 = Dialect(has_actions=True)
PLAIN_5_5 = replace(PLAIN_5_4, page_limit=10_000)
SELECTING = replace(PLAIN_5_5, selects_ids=True, selects_fields=True)
MODERN = replace(SELECTING, looks_up_by_registry=True)


@pytest.mark.parametrize(
    "version, expected",
    [
        ("5.0.26", PLAINEST),
        ("5.3.2", PLAINEST),
        ("e5.4.0", PLAIN_5_4),
        ("5.5.1", PLAIN_5_5),
        ("5.6.0", SELECTING),
        ("5.7.1", SELECTING),
        ("5.7.2", MODERN),
        ("v5.8.9", MODERN),
        ("e5.10.4", MODERN),
        ("6.3.0-beta.2", MODERN),
        ("6.1", MODERN),
        ("", PLAINEST),
        ("nightly", PLAINEST),
    ],
)
def test_what_a_version_understands(version: str, expected: Dialect) -> None:
    assert dialect_of([version]) == expected


def test_the_oldest_node_of_a_cluster_decides() -> None:
    assert dialect_of(["5.8.9", "5.5.1", "6.0.0"]) == PLAIN_5_5


def test_without_a_version_nothing_is_taken_for_granted() -> None:
    assert dialect_of([]) == PLAINEST
