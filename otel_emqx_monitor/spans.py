"""How long ago something was, in words."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_SPANS = (
    (365 * _DAY, "a year", "years"),
    (30.5 * _DAY, "a month", "months"),
    (_DAY, "a day", "days"),
    (_HOUR, "an hour", "hours"),
    (_MINUTE, "a minute", "minutes"),
    (1, "a second", "seconds"),
)


def in_words(seconds: float) -> str:
    """Return the span in its largest whole unit; a clock that is behind makes it "a moment".

    Rounded down, as the original's table has it. humanize.naturaldelta did the same up to 4.14;
    since 4.15 it rounds to the nearest unit and calls 16 days "a month".
    """
    for unit, one, many in _SPANS:
        if seconds >= unit:
            count = int(seconds // unit)
            return one if count == 1 else f"{count} {many}"
    return "a moment"
