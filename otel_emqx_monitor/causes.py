"""The errors behind an error, and what they hold.

requests and urllib3 wrap an error several times, and each has a traceback of the frames that it
passed, with all that was in them: the body of a request, the rows of a poll so far. A frame of
urllib3's holds its error in turn. Such a cycle stays until Python collects its oldest generation,
and that can take hours: an EMQX that fails at its last page would cost all rows with each poll.
"""

from collections.abc import Iterator


def root_cause(error: BaseException) -> BaseException:
    """Return the innermost error."""
    seen = {id(error)}
    while True:
        inner = next((one for one in _wrapped(error) if id(one) not in seen), None)
        if inner is None:
            return error
        seen.add(id(inner))
        error = inner


def let_go(error: BaseException) -> None:
    """Take the tracebacks from an error that is handled, and from all that are behind it."""
    left, seen = [error], {id(error)}
    while left:
        one = left.pop()
        one.__traceback__ = None
        new = [inner for inner in _wrapped(one) if id(inner) not in seen]
        seen.update(map(id, new))
        left += new


def _wrapped(error: BaseException) -> Iterator[BaseException]:
    """Yield the errors that this one was made of."""
    candidates = (
        getattr(error, "reason", None),  # urllib3's
        *error.args,
        error.__cause__,
        error.__context__,
    )
    return (one for one in candidates if isinstance(one, BaseException))
