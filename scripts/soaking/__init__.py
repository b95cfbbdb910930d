"""What `scripts/soak` runs: an agent for many minutes, and all that can befall it.

::

    plan.py       which fault begins when, all from a seed
    lives.py      clients that stay, reconnect, are taken over, visit once
    broker.py     the simulated broker, a process of its own, with the faults on its side
    befalling.py  the faults on the other sides: readers, the Collector, strangers, reloads
    sampling.py   what a process has of the machine, and what a scrape brought
    watching.py   what may never happen: counters that fall, lines of the log that nobody expects
    lateness.py   how late polls are, from what the agent tells of them
    judging.py    what has grown
    limits.py     what is allowed, and why
    account.py    the verdicts of a whole run
    chart.py      the figure
    running.py    starts everything, and goes on for so long
"""
