from dataclasses import replace

from opentelemetry.sdk.resources import Resource

from otel_emqx_monitor.columns import NO_LABELS, Block, Column, Group, Labels
from otel_emqx_monitor.meter import Instrument, Reading, Scope, Sort
from otel_emqx_monitor.readers.shown import MOST_TRIES, Shown, ended, shown_by, told_in_vain

RESOURCE = Resource({"service.name": "test"})
SCOPE = Scope("lib", "1.2", None, None)
A, B, C = (Labels.of({"id": name}) for name in "abc")
RX, TX = Labels.of({"direction": "rx"}), Labels.of({"direction": "tx"})


def shown(
    *members: Labels,
    name: str = "m",
    extra: Labels = NO_LABELS,
    time: float | None = 100.0,
    resource: Resource = RESOURCE,
) -> Shown:
    instrument = Instrument(name, Sort.GAUGE, "", "", [])
    return Shown(resource, SCOPE, instrument, extra, list(members), time)


def ends(before: list[Shown], now: list[Shown]) -> list[tuple[str, str, str]]:
    """Return the instrument, the extra label and the id of each series that has ended."""
    return [
        (one.instrument.name, "".join(str(v) for _, v in one.extra.items()), str(value))
        for one in ended(before, now)
        for labels in one.members
        for _, value in labels.items()
    ]


def test_a_push_shows_the_series_of_all_blocks() -> None:
    blocks = [Block(Group([A, B]), [1, 2], RX), Block(Group([A]), [3], TX)]
    instrument = Instrument("m", Sort.SUM, "", "", ())
    reading = Reading(SCOPE, instrument, Column(blocks, 5.0))
    assert shown_by([reading], RESOURCE) == [
        Shown(RESOURCE, SCOPE, instrument, RX, [A, B], 5.0),
        Shown(RESOURCE, SCOPE, instrument, TX, [A], 5.0),
    ]


def test_it_does_not_keep_alive_what_instruments_read() -> None:
    instrument = Instrument("m", Sort.SUM, "", "", [lambda _: []])
    [one] = shown_by([Reading(SCOPE, instrument, Column([Block(Group([A]), [1])]))], RESOURCE)
    assert one.instrument == replace(instrument, callbacks=())


def test_nothing_has_ended_while_the_same_series_go_on() -> None:
    assert ended([], [shown(A)]) == []
    assert ended([shown(A, B)], [shown(A, B)]) == []
    assert ended([shown(A, B)], [shown(C, B, A)]) == []


def test_what_is_missing_has_ended() -> None:
    assert ends([shown(A, B, C)], [shown(B)]) == [("m", "", "a"), ("m", "", "c")]


def test_an_instrument_a_block_or_everything_can_be_gone() -> None:
    before = [shown(A, extra=RX), shown(A, extra=TX), shown(B, name="n")]
    assert ends(before, before[:1]) == [("m", "tx", "a"), ("n", "", "b")]
    assert len(ends(before, [])) == 3


def test_series_of_one_instrument_do_not_stand_for_those_of_another() -> None:
    before = [shown(A), shown(A, name="n")]
    assert ends(before, [shown(A), shown(B, name="n")]) == [("n", "", "a")]


def test_labels_that_say_the_same_are_the_same_series() -> None:
    again = Labels.of({"id": "a", "n": 1})
    before = [shown(Labels.of({"id": "a", "n": 1}), B)]
    assert ends(before, [shown(C, again)]) == [("m", "", "b")]
    other_type = Labels.of({"id": "a", "n": "1"})
    assert len(ended(before, [shown(B, other_type)])) == 1


def test_labels_may_be_lists() -> None:
    before = [shown(Labels.of({"ids": ["a"]}), Labels.of({"ids": ["b"]}))]
    assert ends(before, [shown(Labels.of({"ids": ["a"]}))]) == [("m", "", "['b']")]


def test_extra_labels_that_say_the_same_are_the_same_block() -> None:
    alike = Labels.of({"direction": "rx"})
    assert ended([shown(A, extra=RX)], [shown(A, extra=alike)]) == []


def test_blocks_of_the_same_labels_count_together() -> None:
    assert ends([shown(A), shown(B)], [shown(B), shown(C), shown(A)]) == []


def test_series_of_another_resource_have_all_ended() -> None:
    renamed = Resource({"service.name": "other"})
    [over] = ended([shown(A)], [shown(A, resource=renamed)])
    assert (over.resource, over.members) == (RESOURCE, [A])
    alike = Resource({"service.name": "test"})
    assert ended([shown(A)], [shown(A, resource=alike)]) == []


def test_a_series_ends_at_the_time_of_the_poll_that_lacks_it() -> None:
    [over] = ended([shown(A, B, time=100.0)], [shown(B, time=115.0)])
    assert over.time == 115.0


def test_an_end_is_of_the_push_where_no_later_poll_tells_of_it() -> None:
    for now in ([], [shown(B, time=100.0)], [shown(B, time=None)], [shown(A, name="n", time=115)]):
        [over] = ended([shown(A, B)] if not now else [shown(A)], now)
        assert over.time is None
    [over] = ended([shown(A, B, time=None)], [shown(B, time=115.0)])
    assert over.time is None


def test_an_end_that_was_told_in_vain_is_told_again_but_not_for_ever() -> None:
    over = [shown(A)]
    tries = 0
    while over := told_in_vain(over):
        tries += 1
        assert ended(over, [shown(B)]) == [replace(over[0], time=None)]
    assert tries == MOST_TRIES - 1


def test_a_series_that_came_back_has_not_ended() -> None:
    vain = told_in_vain(ended([shown(A, B)], [shown(B)]))
    assert ended([shown(B), *vain], [shown(A, B)]) == []
