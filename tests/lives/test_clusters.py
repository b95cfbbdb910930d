"""Lives on clusters: clients that move, nodes that freeze as the recorded one did or are killed."""

from tests.lives.moments import Clock
from tests.lives.playing import play
from tests.lives.table import read
from tests.simulator.recordings import node_loss

# At 30 the clock of the node it moves to is behind; at 45 both nodes have a row of it.
MOVES = """
when | the broker has                          | mode | run | on | rx    | lost | epochs | info
   0 | node=one on@-5 born@-9 rx=5 lost=1      |      | 2   | 1  | 5@-5  | 1@-9 | 1@0    | one
  15 | node=two on@10 born@-9 rx=1 lost=3      | live | 2   | 1  | 1@10  | 3@-9 | 2@0    | two
     |                                         | sum  |     | 1  | 6@-5  | 3@-9 | 2@0    | two
  30 | node=one on@9.5 born@-9 rx=2 lost=3     | live | 2   | 1  | 2@9.5 | 3@-9 | 3@0    | one
     |                                         | sum  |     | 1  | 8@-5  | 3@-9 | 3@0    | one
  45 | node=one on@9.5 born@-9 rx=4 lost=3     | live | 2   | 1  | 1@40  | 3@-9 | 4@0    | two
     | node=two on@40 born@-9 rx=1 lost=3      | sum  |     | 1  | 9@-5  | 3@-9 | 4@0    | two
  60 | node=two off@40..50 born@-9 rx=1 lost=8 | live | 2   | 0  | 1@40  | 8@-9 | 4@0    | two
     |                                         | sum  |     | 0  | 9@-5  | 8@-9 | 4@0    | two
  75 | nobody                                  | live | 2   | 0  |       |      | 4@0    |
     |                                         | sum  |     | 0  | 9@-5  | 8@-9 | 4@0    | two
"""

# Polls at the times of the recording, counted from 15, and some more. Whoever is on the frozen node
# is unknown for 60 s, then absent; what the node counts meanwhile is seen when it is healed.
FREEZES = """
when   | the broker has            | client | mode | run | hang | stop | on | rx    | epochs
0      | near node=one on@-5 rx=1  | near   |      | 3       | 0       | 0       | 1  | 1@-5  | 1@0
       | far node=two on@-5 rx=5   | far    |      |         |         |         | 1  | 5@-5  | 1@0
       | mover node=two on@-5 rx=7 | mover  |      |         |         |         | 1  | 7@-5  | 1@0
15     | freeze two                | near   |      | 2       | 1       | 0       | 1  | 2@-5  | 1@0
       | near node=one on@-5 rx=2  | far    | sum  |         |         |         |    | 5@-5  | 1@0
       | far node=two on@-5 rx=6   | mover  | sum  |         |         |         |    | 7@-5  | 1@0
       | mover node=two on@-5 rx=9 |        |      |         |         |         |    |       |
45     | near node=one on@-5 rx=3  | near   |      | 2       | 1       | 0       | 1  | 3@-5  | 1@0
       | far node=two on@-5 rx=6   | far    | sum  |         |         |         |    | 5@-5  | 1@0
       | mover node=three on@40 rx=1 | mover | live |        |         |         | 1  | 1@40  | 2@0
       |                           | mover  | sum  |         |         |         | 1  | 8@-5  | 2@0
95.31  | near node=one on@-5 rx=4  | near   |      | 2       | 1       | 0       | 1  | 4@-5  | 1@0
       | far node=two on@-5 rx=6   | far    | live |         |         |         | 0  |       | 1@0
       | mover node=three on@40 rx=2 | far  | sum  |         |         |         | 0  | 5@-5  | 1@0
       |                           | mover  | live |         |         |         | 1  | 2@40  | 2@0
       |                           | mover  | sum  |         |         |         | 1  | 9@-5  | 2@0
155.95 | the same                  | near   |      | 2       | 0       | 1       | 1  | 4@-5  | 1@0
       |                           | far    | live |         |         |         | 0  |       | 1@0
       |                           | far    | sum  |         |         |         | 0  | 5@-5  | 1@0
       |                           | mover  | live |         |         |         | 1  | 2@40  | 2@0
       |                           | mover  | sum  |         |         |         | 1  | 9@-5  | 2@0
165    | thaw two                  | near   |      | 2       | 0       | 1       | 1  | 4@-5  | 1@0
       |                           | far    | live |         |         |         | 0  |       | 1@0
       |                           | far    | sum  |         |         |         | 0  | 5@-5  | 1@0
       |                           | mover  | live |         |         |         | 1  | 2@40  | 2@0
       |                           | mover  | sum  |         |         |         | 1  | 9@-5  | 2@0
180    | heal                      | near   |      | 3       | 0       | 0       | 1  | 5@-5  | 1@0
       | near node=one on@-5 rx=5  | far    |      |         |         |         | 1  | 30@-5 | 1@0
       | far node=two on@-5 rx=30  | mover  | live |         |         |         | 1  | 3@40  | 2@0
       | mover node=three on@40 rx=3 | mover | sum |         |         |         | 1  | 10@-5 | 2@0
"""

FREEZES_FOR_A_MOMENT = """
when | the broker has               | client | mode | run | hang | on | rx   | epochs
   0 | near node=one on@-5 rx=1     | near   |      | 2   | 0    | 1  | 1@-5 | 1@0
     | far node=two on@-5 rx=5      | far    |      |     |      | 1  | 5@-5 | 1@0
  15 | freeze two                   | near   |      | 1   | 1    | 1  | 1@-5 | 1@0
     |                              | far    | sum  |     |      |    | 5@-5 | 1@0
  30 | thaw two                     | near   |      | 2   | 0    | 1  | 1@-5 | 1@0
     | near node=one on@-5 rx=1     | far    |      |     |      | 0  | 8@-5 | 1@0
     | far node=two off@-5..20 rx=8 |        |      |     |      |    |      |
"""

IS_KILLED = """
when | the broker has           | client | mode | run | hang | stop | on | rx   | epochs
   0 | near node=one on@-5 rx=1 | near   |      | 2   | 0    | 0    | 1  | 1@-5 | 1@0
     | far node=two on@-5 rx=5  | far    |      |     |      |      | 1  | 5@-5 | 1@0
  15 | kill two                 | near   |      | 1   | 1    | 0    | 1  | 1@-5 | 1@0
     |                          | far    | sum  |     |      |      |    | 5@-5 | 1@0
  30 | the same                 | near   |      | 1   | 0    | 1    | 1  | 1@-5 | 1@0
     |                          | far    | sum  |     |      |      |    | 5@-5 | 1@0
  60 | the same                 | near   |      | 1   | 0    | 1    | 1  | 1@-5 | 1@0
     |                          | far    | live |     |      |      | 0  |      | 1@0
     |                          | far    | sum  |     |      |      | 0  | 5@-5 | 1@0
  75 | start two; nobody        | near   | live | 2   | 0    | 0    | 0  |      | 1@0
     |                          | near   | sum  |     |      |      | 0  | 1@-5 | 1@0
     |                          | far    | live |     |      |      | 0  |      | 1@0
     |                          | far    | sum  |     |      |      | 0  | 5@-5 | 1@0
  90 | near node=two on@80 rx=2 | near   | live | 2   | 0    | 0    | 1  | 2@80 | 2@0
     | far node=two on@85 rx=0  | near   | sum  |     |      |      | 1  | 3@-5 | 2@0
     |                          | far    | live |     |      |      | 1  | 0@85 | 2@0
     |                          | far    | sum  |     |      |      | 1  | 5@-5 | 2@0
"""

NEAR, FAR, MOVER = ({"alias": name, "client_id": name} for name in ("near", "far", "mover"))

#: A node that hangs is waited for in real time. The second attempt is for one that is only slow.
IMPATIENT = {"timeout_seconds": 0.4, "attempts": 2}


def test_client_that_moves_from_node_to_node(clock: Clock) -> None:
    play(clock, MOVES, nodes=2)


def test_node_of_three_that_is_frozen_as_recorded(clock: Clock) -> None:
    polls = {step.when for step in read(FREEZES).steps}
    assert polls >= {15 + recorded["t"] for recorded in node_loss("node 2 frozen")}
    play(clock, FREEZES, entries=[NEAR, FAR, MOVER], nodes=3, patience=IMPATIENT)


def test_node_that_is_frozen_for_a_moment(clock: Clock) -> None:
    play(clock, FREEZES_FOR_A_MOMENT, entries=[NEAR, FAR], nodes=2, patience=IMPATIENT)


def test_node_that_is_killed_and_started(clock: Clock) -> None:
    play(clock, IS_KILLED, entries=[NEAR, FAR], nodes=2, patience={"attempts": 1})
