"""The landing page ``/``: how things are, for people, in one HTML document that needs no other.

::

    endpoint.py    one request, one answer, its headers
    document.py    the whole page
    facts.py       the broker, polls, readers and memory in words
    listing.py     which clients to show, in which order
    fields.py      what is shown of each client, by what the configuration exports
    query.py       what the address asks for: search, state, order, page
    markup.py      elements, in which every text is escaped
    style.css      light and dark, wide and narrow
    script.js      search while typing; without it everything works as well

What strangers chose (client ids, user names, what EMQX said) is text in the markup and nothing
else; the script holds no data, so its hash never changes, and it alone may run.
"""

from otel_emqx_monitor.page.endpoint import LandingPage

__all__ = ["LandingPage"]
