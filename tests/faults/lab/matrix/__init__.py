"""All faults of the lab, in the order of the table."""

from collections.abc import Sequence

from tests.faults.lab.fault import Fault
from tests.faults.lab.matrix import answers, broker, clocks, host, lives, readers, strangers

FAULTS: Sequence[Fault] = (
    *broker.FAULTS,
    *answers.FAULTS,
    *clocks.FAULTS,
    *host.FAULTS,
    *strangers.FAULTS,
    *readers.FAULTS,
    *lives.FAULTS,
)
