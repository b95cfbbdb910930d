"""What this program costs, beside the official path, the original tool and the least there can be.

``scripts/bench`` runs it. ``__main__`` has each case of ``plan`` measured in a process of its own,
several times over; ``agent``, ``official``, ``original``, ``bare`` and ``program`` are those
processes. ``original`` runs in the original's environment, so that what it imports from here
(``measuring``, ``rows``) needs Python alone.
"""
