from hypothesis import given
from hypothesis import strategies as st

from otel_emqx_monitor.emqx.dialect import PLAINEST, dialect_of
from otel_emqx_monitor.emqx.plan import Batches, Lookups, Plan, Sweep, choose, encode_id

MODERN = dialect_of(["5.8.9"])


def ids(count: int) -> list[str]:
    return [f"sensor-{number:016d}" for number in range(count)]


def plan_for(count: int, sessions: int) -> Plan:
    return choose(ids(count), MODERN, sessions, nodes=1, room=7_000)


def test_few_clients_on_a_large_broker_are_looked_up_one_by_one() -> None:
    assert plan_for(300, 1_000_000) == Lookups(tuple(ids(300)))


def test_some_clients_on_a_small_broker_are_asked_in_batches() -> None:
    plan = plan_for(300, 5_000)
    assert isinstance(plan, Batches)
    assert [client_id for group in plan.groups for client_id in group] == ids(300)


def test_most_clients_of_a_broker_are_found_by_a_sweep() -> None:
    assert plan_for(9_000, 10_000) == Sweep()


def test_an_old_broker_is_never_asked_for_exact_ids() -> None:
    assert choose(ids(300), PLAINEST, 5_000, nodes=1, room=7_000) == Lookups(tuple(ids(300)))


def test_a_lookup_on_an_old_cluster_costs_a_hop_for_each_node() -> None:
    assert choose(ids(300), PLAINEST, 3_000, nodes=5, room=7_000) == Sweep()


def test_ids_that_are_steps_of_a_path_are_not_looked_up() -> None:
    assert choose([".", "a"], MODERN, 1_000_000, nodes=1, room=7_000) == Batches(((".", "a"),))


def test_an_id_longer_than_any_request_line_is_found_by_a_sweep() -> None:
    assert choose(["x" * 8_000], MODERN, 1_000_000, nodes=1, room=7_000) == Sweep()


def test_an_id_is_encoded_to_the_last_reserved_character() -> None:
    assert encode_id('a b/"&é+') == "a%20b%2F%22%26%C3%A9%2B"


@given(st.lists(st.text(min_size=1, max_size=30).filter(str.isprintable), max_size=60, unique=True))
def test_no_batch_is_longer_than_the_room_and_none_loses_an_id(client_ids: list[str]) -> None:
    room = 400
    plan = choose([".", *client_ids], MODERN, 3, nodes=1, room=room)
    if isinstance(plan, Batches):
        assert [i for group in plan.groups for i in group] == [".", *client_ids]
        for group in plan.groups:
            assert len("".join(f"&clientid={encode_id(i)}" for i in group)) <= room
