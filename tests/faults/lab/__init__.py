"""The fault lab: the agent as a process, between a broker, Prometheus and a Collector that fail.

::

    fault.py     what a fault is, and what the lab finds out about it
    devices.py   the clients of the broker, and what is true of them
    book.py      what was said of them, and what of it was wrong
    readers.py   a real Prometheus and a real Collector, for one fault after the other
    stage.py     one agent on one broker, and how the lab looks at it
    running.py   takes one fault from a good begin to a good end
    matrix/      the faults
    page.py      docs/reliability.md
    __main__.py  the command, scripts/fault-lab
"""
