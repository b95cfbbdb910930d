"""Lives of one client on one node: connections, takeovers, sessions, users."""

import logging

import pytest

from tests.lives.moments import Clock
from tests.lives.playing import play

CONNECTS_PUBLISHES_DROPS = """
when | the broker has          | mode | on | rx    | tx   | in     | epochs | seen | late
   0 | nobody                  |      | 0  |       |      |        | 0@0    |      | 0
  15 | on@10 rx=0 tx=0 in=26   |      | 1  | 0@10  | 0@10 | 26@10  | 1@0    | 15   | 0
  30 | on@10 rx=12 tx=3 in=300 |      | 1  | 12@10 | 3@10 | 300@10 | 1@0    | 30   | 0
  45 | nobody                  | live | 0  |       |      |        | 1@0    | 30   | 0
     |                         | sum  | 0  | 12@10 | 3@10 | 300@10 | 1@0    | 30   | 0
  70 | the same                | live | 0  |       |      |        | 1@0    | 30   | 0
     |                         | sum  | 0  | 12@10 | 3@10 | 300@10 | 1@0    | 30   | 0
  71 | the same                | live | 0  |       |      |        | 1@0    | 30   | 1
     |                         | sum  | 0  | 12@10 | 3@10 | 300@10 | 1@0    | 30   | 1
  90 | on@80 rx=1 tx=0 in=30   | live | 1  | 1@80  | 0@80 | 30@80  | 2@0    | 90   | 0
     |                         | sum  | 1  | 13@10 | 3@10 | 330@10 | 2@0    | 90   | 0
"""

RECONNECTS_BETWEEN_POLLS = """
when | the broker has      | mode | on | rx     | in      | epochs
   0 | on@-5 rx=50 in=900  |      | 1  | 50@-5  | 900@-5  | 1@0
  15 | on@10 rx=3 in=70    | live | 1  | 3@10   | 70@10   | 2@0
     |                     | sum  | 1  | 53@-5  | 970@-5  | 2@0
  30 | on@20 rx=80 in=1500 | live | 1  | 80@20  | 1500@20 | 3@0
     |                     | sum  | 1  | 133@-5 | 2470@-5 | 3@0
  45 | on@20 rx=95 in=1800 | live | 1  | 95@20  | 1800@20 | 3@0
     |                     | sum  | 1  | 148@-5 | 2770@-5 | 3@0
  60 | the same            | live | 1  | 95@20  | 1800@20 | 3@0
     |                     | sum  | 1  | 148@-5 | 2770@-5 | 3@0
"""

# Of two rows in one answer the one of the newer connection is taken. While rows are found in turn,
# none is a new connection, and what each gains counts.
IS_TAKEN_OVER = """
when | the broker has              | mode | on | rx    | epochs | rel
   0 | on@-5 rx=5 rel=2            |      | 1  | 5@-5  | 1@0    | 2
  15 | on@-5 rx=9; on@10 rx=1      | live | 1  | 1@10  | 2@0    |
     |                             | sum  | 1  | 6@-5  | 2@0    |
  30 | on@-5 rx=9                  | live | 1  | 9@-5  | 2@0    |
     |                             | sum  | 1  | 10@-5 | 2@0    |
  45 | on@10 rx=2                  | live | 1  | 2@10  | 2@0    |
     |                             | sum  | 1  | 11@-5 | 2@0    |
  60 | on@50 rx=1; on@10 rx=4      | live | 1  | 1@50  | 3@0    |
     |                             | sum  | 1  | 12@-5 | 3@0    |
  75 | on@10 rx=4                  | live | 1  | 4@10  | 3@0    |
     |                             | sum  | 1  | 14@-5 | 3@0    |
  90 | off@10..80 rx=4; on@50 rx=1 | live | 1  | 1@50  | 3@0    |
     |                             | sum  | 1  | 14@-5 | 3@0    |
 105 | on@-5 rx=9                  | live | 1  | 9@-5  | 3@0    |
     |                             | sum  | 1  | 14@-5 | 3@0    |
"""

# At 105 the row still says when the connection before ended, which is no news of this one.
SESSION_OUTLIVES_THE_CONNECTION_AND_EXPIRES = """
when | the broker has                | mode | on | rx    | in     | out   | epochs | seen | left
   0 | nobody                        |      | 0  |       |        |       | 0@0    |      |
  15 | on@10 rx=12 in=300 out=8      |      | 1  | 12@10 | 300@10 | 8@10  | 1@0    | 15   |
  45 | off@10..40 rx=12 in=310 out=8 |      | 0  | 12@10 | 310@10 | 8@10  | 1@0    | 40   | 40
  60 | off@10..40 rx=12              | live | 0  | 12@10 |        |       | 1@0    | 40   | 40
     |                               | sum  | 0  | 12@10 | 310@10 | 8@10  | 1@0    | 40   | 40
  90 | nobody                        | live | 0  |       |        |       | 1@0    | 40   | 40
     |                               | sum  | 0  | 12@10 | 310@10 | 8@10  | 1@0    | 40   | 40
 105 | on@100..40 rx=1 in=30 out=4   | live | 1  | 1@100 | 30@100 | 4@100 | 2@0    | 105  |
     |                               | sum  | 1  | 13@10 | 340@10 | 12@10 | 2@0    | 105  |
"""

# At 60 a session that came and went between two polls, and left something behind.
SLEEPS_BETWEEN_POLLS = """
when | the broker has    | mode | on | rx    | epochs | seen | left | late
   0 | off@-90..-80 rx=7 |      | 0  | 7@-90 | 1@0    | -80  | -80  | 1
  30 | off@-90..-80 rx=7 |      | 0  | 7@-90 | 1@0    | -80  | -80  | 1
  60 | off@40..43 rx=2   | live | 0  | 2@40  | 2@0    | 43   | 43   | 0
     |                   | sum  | 0  | 9@-90 | 2@0    | 43   | 43   | 0
  84 | off@40..43 rx=2   | live | 0  | 2@40  | 2@0    | 43   | 43   | 1
     |                   | sum  | 0  | 9@-90 | 2@0    | 43   | 43   | 1
"""

QUEUE_DROPS_WHILE_OFFLINE = """
when | the broker has                           | mode | on | rx   | epochs | lost  | queued
   0 | on@-5 born@-5 rx=4 lost=0 queued=0       |      | 1  | 4@-5 | 1@0    | 0@-5  | 0
  15 | off@-5..10 born@-5 rx=4 lost=0 queued=3  |      | 0  | 4@-5 | 1@0    | 0@-5  | 3
  30 | off@-5..10 born@-5 rx=4 lost=7 queued=10 |      | 0  | 4@-5 | 1@0    | 7@-5  | 10
  45 | on@40 born@-5 rx=1 lost=7 queued=0       | live | 1  | 1@40 | 2@0    | 7@-5  | 0
     |                                          | sum  | 1  | 5@-5 | 2@0    | 7@-5  | 0
  60 | on@40 born@-5 rx=2 lost=9 queued=0       | live | 1  | 2@40 | 2@0    | 9@-5  | 0
     |                                          | sum  | 1  | 6@-5 | 2@0    | 9@-5  | 0
  75 | on@70 born@70 rx=1 lost=2 queued=0       | live | 1  | 1@70 | 3@0    | 2@70  | 0
     |                                          | sum  | 1  | 7@-5 | 3@0    | 11@-5 | 0
  90 | nobody                                   | live | 0  |      | 3@0    |       |
     |                                          | sum  | 0  | 7@-5 | 3@0    | 11@-5 |
"""

OTHERS_USE_THE_CLIENT_ID = """
when | the broker has            | mode | on | rx    | epochs | info
   0 | on@-5 user=sue ver=5 rx=5 |      | 1  | 5@-5  | 1@0    | one 5 sue
  15 | on@10 user=bob ver=4 rx=1 | live | 1  | 1@10  | 2@0    | one 4 bob
     |                           | sum  | 1  | 6@-5  | 2@0    | one 4 bob
  30 | nobody                    | live | 0  |       | 2@0    |
     |                           | sum  | 0  | 6@-5  | 2@0    | one 4 bob
  45 | on@40 user=sue ver=5 rx=2 | live | 1  | 2@40  | 3@0    | one 5 sue
     |                           | sum  | 1  | 8@-5  | 3@0    | one 5 sue
  60 | on@40 user=eve ver=5 rx=3 | live | 1  | 3@40  | 4@0    | one 5 eve
     |                           | sum  | 1  | 11@-5 | 4@0    | one 5 eve
"""

EXPECTED = {"alias": "Dev", "client_id": "dev", "expected_every_seconds": 40}


def test_client_that_connects_publishes_and_drops(clock: Clock) -> None:
    play(clock, CONNECTS_PUBLISHES_DROPS, entries=[EXPECTED])


def test_client_that_reconnects_between_two_polls_with_lower_and_with_higher_counters(
    clock: Clock,
) -> None:
    play(clock, RECONNECTS_BETWEEN_POLLS)


def test_client_that_is_taken_over_with_two_rows_at_once_and_in_turn(clock: Clock) -> None:
    # By a pattern, since the look-up of one client would show only one of its rows.
    play(clock, IS_TAKEN_OVER, entries=[{"client_id_glob": "dev"}])


def test_session_that_is_kept_loses_its_byte_counts_and_expires(clock: Clock) -> None:
    play(clock, SESSION_OUTLIVES_THE_CONNECTION_AND_EXPIRES)


def test_client_that_no_poll_finds_connected_but_whose_session_tells_of_it(clock: Clock) -> None:
    play(clock, SLEEPS_BETWEEN_POLLS, entries=[EXPECTED])


def test_queue_that_drops_while_its_client_is_offline_and_a_clean_start(clock: Clock) -> None:
    play(clock, QUEUE_DROPS_WHILE_OFFLINE)


def test_client_id_that_others_use(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    play(clock, OTHERS_USE_THE_CLIENT_ID)
    told = [one for one in caplog.records if one.levelno >= logging.WARNING]
    assert [one.name for one in told] == 2 * ["otel_emqx_monitor.tracker"]  # once for each agent
