"""Lives in the middle of which the agent restarts, without and with a file for its memory."""

from pathlib import Path

from tests.lives.moments import Clock
from tests.lives.playing import play

WITHOUT_STATE = """
when | the broker has             | mode | up | on | rx   | epochs | seen
   0 | on@-5 rx=5                 |      | 1  | 1  | 5@-5 | 1@0    | 0
  15 | nobody                     | live | 1  | 0  |      | 1@0    | 0
     |                            | sum  | 1  | 0  | 5@-5 | 1@0    | 0
  30 | agent restarts; API fails  | live | 0  |    |      |        |
     |                            | sum  | 0  |    |      | 0@30   |
  45 | API answers                |      | 1  | 0  |      | 0@30   |
  60 | on@50 rx=3                 |      | 1  | 1  | 3@50 | 1@30   | 60
  75 | agent restarts; on@50 rx=7 |      | 1  | 1  | 7@50 | 1@75   | 75
"""

WITH_STATE = """
when | the broker has                  | mode | up | on | rx    | lost | epochs | seen | left | late
   0 | on@-5 born@-9 rx=5 lost=1       |      | 1  | 1  | 5@-5  | 1@-9 | 1@0    | 0    |      | 0
  15 | nobody                          | live | 1  | 0  |       |      | 1@0    | 0    |      | 0
     |                                 | sum  | 1  | 0  | 5@-5  | 1@-9 | 1@0    | 0    |      | 0
  30 | agent restarts; API fails       | live | 0  |    |       |      |        |      |      |
     |                                 | sum  | 0  |    | 5@-5  | 1@-9 | 1@0    | 0    |      |
  45 | API answers; nobody             | live | 1  | 0  |       |      | 1@0    | 0    |      | 1
     |                                 | sum  | 1  | 0  | 5@-5  | 1@-9 | 1@0    | 0    |      | 1
  60 | on@50 born@50 rx=3 lost=4       | live | 1  | 1  | 3@50  | 4@50 | 2@0    | 60   |      | 0
     |                                 | sum  | 1  | 1  | 8@-5  | 5@-9 | 2@0    | 60   |      | 0
  75 | agent restarts                  | live | 1  | 1  | 9@50  | 4@50 | 2@0    | 75   |      | 0
     | on@50 born@50 rx=9 lost=4       | sum  | 1  | 1  | 14@-5 | 5@-9 | 2@0    | 75   |      | 0
  90 | agent restarts                  | live | 1  | 1  | 2@80  | 4@50 | 3@0    | 90   |      | 0
     | on@80 born@50 rx=2 lost=4       | sum  | 1  | 1  | 16@-5 | 5@-9 | 3@0    | 90   |      | 0
 105 | off@80..100 born@50 rx=2 lost=6 | live | 1  | 0  | 2@80  | 6@50 | 3@0    | 100  | 100  | 0
     |                                 | sum  | 1  | 0  | 16@-5 | 7@-9 | 3@0    | 100  | 100  | 0
 120 | agent restarts; nobody          | live | 1  | 0  |       |      | 3@0    | 100  | 100  | 0
     |                                 | sum  | 1  | 0  | 16@-5 | 7@-9 | 3@0    | 100  | 100  | 0
 141 | agent restarts; API fails       | live | 0  |    |       |      |        |      |      |
     |                                 | sum  | 0  |    | 16@-5 | 7@-9 | 3@0    | 100  | 100  |
 150 | API answers                     | live | 1  | 0  |       |      | 3@0    | 100  | 100  | 1
     |                                 | sum  | 1  | 0  | 16@-5 | 7@-9 | 3@0    | 100  | 100  | 1
"""

NEVER_SEEN = """
when | the broker has | on | epochs | seen | late
   0 | nobody         | 0  | 0@0    |      | 0
  40 | agent restarts | 0  | 0@0    |      | 0
  41 | agent restarts | 0  | 0@0    |      | 1
"""

EXPECTED = {"alias": "Dev", "client_id": "dev", "expected_every_seconds": 40}


def test_agent_without_state_begins_anew_when_it_restarts(clock: Clock) -> None:
    play(clock, WITHOUT_STATE)


def test_agent_with_state_goes_on_when_it_restarts(clock: Clock, tmp_path: Path) -> None:
    play(clock, WITH_STATE, entries=[EXPECTED], state=tmp_path)


def test_restarts_do_not_put_off_that_a_client_nobody_has_seen_is_overdue(
    clock: Clock, tmp_path: Path
) -> None:
    play(clock, NEVER_SEEN, entries=[EXPECTED], state=tmp_path)
