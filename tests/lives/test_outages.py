"""Lives through restarts of the broker and failures of its API."""

from tests.lives.moments import Clock
from tests.lives.playing import play

BROKER_RESTARTS = """
when | the broker has                      | client | mode | up | on | rx     | lost  | epochs
   0 | a on@-5 born@-9 rx=50 lost=4        | a      |      | 1  | 1  | 50@-5  | 4@-9  | 1@0
     | b off@-60..-30 born@-60 rx=7 lost=2 | b      |      |    | 0  | 7@-60  | 2@-60 | 1@0
  15 | API fails                           | a      |      | 0  | 1  | 50@-5  | 4@-9  | 1@0
     |                                     | b      |      |    | 0  | 7@-60  | 2@-60 | 1@0
  30 | API answers; nobody                 | a      | live | 1  | 0  |        |       | 1@0
     |                                     | a      | sum  |    | 0  | 50@-5  | 4@-9  | 1@0
     |                                     | b      | live |    | 0  |        |       | 1@0
     |                                     | b      | sum  |    | 0  | 7@-60  | 2@-60 | 1@0
  45 | a on@40 born@40 rx=0 lost=0         | a      | live | 1  | 1  | 0@40   | 0@40  | 2@0
     |                                     | a      | sum  |    | 1  | 50@-5  | 4@-9  | 2@0
     |                                     | b      | live |    | 0  |        |       | 1@0
     |                                     | b      | sum  |    | 0  | 7@-60  | 2@-60 | 1@0
  60 | a on@40 born@40 rx=6 lost=1         | a      | live | 1  | 1  | 6@40   | 1@40  | 2@0
     | b on@50 born@50 rx=9 lost=0         | a      | sum  |    | 1  | 56@-5  | 5@-9  | 2@0
     |                                     | b      | live |    | 1  | 9@50   | 0@50  | 2@0
     |                                     | b      | sum  |    | 1  | 16@-60 | 2@-60 | 2@0
"""

# Data are stale when they are older than 60 s, the default with an interval of 15 s.
API_FAILS = """
when | the broker has          | mode | up | on | rx    | epochs | seen | late
   0 | on@-5 rx=5              |      | 1  | 1  | 5@-5  | 1@0    | 0    | 0
  30 | API fails               |      | 0  | 1  | 5@-5  | 1@0    | 0    | 0
  60 | the same                |      | 0  | 1  | 5@-5  | 1@0    | 0    | 0
  75 | API answers; on@-5 rx=9 |      | 1  | 1  | 9@-5  | 1@0    | 75   | 0
  90 | API fails               |      | 0  | 1  | 9@-5  | 1@0    | 75   | 0
 135 | the same                |      | 0  | 1  | 9@-5  | 1@0    | 75   | 0
 136 | the same                | live | 0  |    |       |        |      |
     |                         | sum  | 0  |    | 9@-5  | 1@0    | 75   |
 300 | the same                | live | 0  |    |       |        |      |
     |                         | sum  | 0  |    | 9@-5  | 1@0    | 75   |
 315 | API answers; nobody     | live | 1  | 0  |       | 1@0    | 75   | 1
     |                         | sum  | 1  | 0  | 9@-5  | 1@0    | 75   | 1
 330 | on@200 rx=3             | live | 1  | 1  | 3@200 | 2@0    | 330  | 0
     |                         | sum  | 1  | 1  | 12@-5 | 2@0    | 330  | 0
"""


def test_broker_that_restarts_and_has_lost_all_sessions(clock: Clock) -> None:
    entries = [{"alias": name.upper(), "client_id": name} for name in "ab"]
    play(clock, BROKER_RESTARTS, entries=entries)


def test_api_that_fails_for_less_and_for_more_time_than_data_stay_good(clock: Clock) -> None:
    expected = {"alias": "Dev", "client_id": "dev", "expected_every_seconds": 100}
    play(clock, API_FAILS, entries=[expected])
