from otel_emqx_monitor.causes import let_go, root_cause


class WithReason(Exception):
    """As urllib3's: it holds the error behind it in an attribute."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__()
        self.reason = reason


def caught(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as raised:  # noqa: BLE001 (it is what was given)
        return raised


def during(first: BaseException, second: BaseException) -> BaseException:
    """Return ``second``, raised while ``first`` is handled."""
    try:
        raise first
    except BaseException:  # noqa: BLE001 (it is what was given)
        return caught(second)


def test_the_root_is_found_through_reasons_arguments_causes_and_contexts() -> None:
    root = ConnectionResetError("reset")
    for outer in (WithReason(root), OSError("failed", root), caught(OSError(), root)):
        assert root_cause(outer) is root
        assert root_cause(RuntimeError(outer)) is root
    assert root_cause(during(root, OSError())) is root
    assert root_cause(root) is root


def test_errors_that_lead_to_each_other_have_a_root_too() -> None:
    one, other = OSError(), OSError()
    one.args, other.args = (other,), (one,)
    assert root_cause(one) is other


def test_all_behind_an_error_lose_their_tracebacks() -> None:
    root, aside = caught(ConnectionResetError()), caught(ValueError())
    cause = caught(KeyError())
    first = caught(RuntimeError("failed", aside, WithReason(root)), cause)
    outer = during(first, RuntimeError())
    every = (root, aside, cause, first, outer)
    assert all(one.__traceback__ is not None for one in every)
    let_go(outer)
    assert all(one.__traceback__ is None for one in every)


def test_errors_that_lead_to_each_other_are_let_go_once() -> None:
    one, other = caught(OSError()), caught(OSError())
    one.args, other.args = (other,), (one,)
    let_go(one)
    assert one.__traceback__ is None
    assert other.__traceback__ is None
