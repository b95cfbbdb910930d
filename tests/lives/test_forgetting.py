"""Lives of clients that are gone for so long, or so many, that their memory ends."""

from pathlib import Path

from tests.lives.moments import Clock
from tests.lives.playing import play

# Who has a name goes on being watched, and overdue: that it was forgotten is no news of it.
NAMED = """
when | the broker has | mode | on | rx    | epochs | seen | late
   0 | on@-5 rx=5     |      | 1  | 5@-5  | 1@0    | 0    | 0
  15 | on@-5 rx=7     |      | 1  | 7@-5  | 1@0    | 15   | 0
  30 | nobody         | live | 0  |       | 1@0    | 15   | 0
     |                | sum  | 0  | 7@-5  | 1@0    | 15   | 0
 115 | nobody         | live | 0  |       | 1@0    | 15   | 1
     |                | sum  | 0  | 7@-5  | 1@0    | 15   | 1
 116 | nobody         |      | 0  |       | 0@15   |      | 1
 300 | nobody         |      | 0  |       | 0@15   |      | 1
 330 | on@320 rx=2    |      | 1  | 2@320 | 1@15   | 330  | 0
"""

MATCHED = """
when | the broker has | mode | on | rx    | epochs | seen
   0 | nobody         |      |    |       |        |
  15 | on@10 rx=5     |      | 1  | 5@10  | 1@15   | 15
  30 | nobody         | live | 0  |       | 1@15   | 15
     |                | sum  | 0  | 5@10  | 1@15   | 15
 115 | nobody         | live | 0  |       | 1@15   | 15
     |                | sum  | 0  | 5@10  | 1@15   | 15
 116 | nobody         |      |    |       |        |
 150 | on@140 rx=2    |      | 1  | 2@140 | 1@150  | 150
"""

MATCHED_WHILE_THE_AGENT_IS_DOWN = """
when | the broker has            | mode | on | rx   | epochs | seen
   0 | on@-5 rx=5                |      | 1  | 5@-5 | 1@0    | 0
 101 | agent restarts; API fails | live |    |      |        |
     |                           | sum  |    | 5@-5 | 1@0    | 0
 115 | API answers; nobody       |      |    |      |        |
"""

# Two are the most. Ids that come first have their place, and who is gone longest loses it.
TOO_MANY = """
when | the broker has             | client | mode | over | on | rx   | epochs
   0 | b on@-5 rx=1; c on@-5 rx=2 | b      |      | 0    | 1  | 1@-5 | 1@0
     |                            | c      |      |      | 1  | 2@-5 | 1@0
  15 | a on@10 rx=3; b on@-5 rx=1 | a      |      | 1    | 1  | 3@10 | 1@15
     | c on@-5 rx=2               | b      |      |      | 1  | 1@-5 | 1@0
  30 | a on@10 rx=3; b on@-5 rx=1 | a      |      | 0    | 1  | 3@10 | 1@15
     |                            | b      |      |      | 1  | 1@-5 | 1@0
  45 | a on@10 rx=4               | a      |      | 0    | 1  | 4@10 | 1@15
     |                            | b      | live |      | 0  |      | 1@0
     |                            | b      | sum  |      | 0  | 1@-5 | 1@0
  60 | a on@10 rx=4; d on@50 rx=9 | a      |      | 0    | 1  | 4@10 | 1@15
     |                            | d      |      |      | 1  | 9@50 | 1@60
"""


def test_client_with_a_name_that_is_gone_is_forgotten_and_stays_overdue(clock: Clock) -> None:
    expected = {"alias": "Dev", "client_id": "dev", "expected_every_seconds": 60}
    play(clock, NAMED, entries=[expected], forget_after_seconds=100)


def test_client_of_a_pattern_that_appears_goes_and_is_forgotten(clock: Clock) -> None:
    play(clock, MATCHED, entries=[{"client_id_glob": "dev*"}], forget_after_seconds=100)


def test_client_of_a_pattern_is_forgotten_though_the_agent_was_down(
    clock: Clock, tmp_path: Path
) -> None:
    play(
        clock,
        MATCHED_WHILE_THE_AGENT_IS_DOWN,
        entries=[{"client_id_glob": "dev*"}],
        forget_after_seconds=100,
        state=tmp_path,
    )


def test_clients_beyond_max_clients_are_left_out(clock: Clock) -> None:
    play(clock, TOO_MANY, entries=[{"client_id_glob": "*"}], max_clients=2)
