from otel_emqx_monitor.page.markup import Markup, joined, tag


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "<b>&\"'", tag("i", "x"), None) == "<p>&lt;b&gt;&amp;&quot;&#x27;<i>x</i></p>"
    assert joined("a<", Markup("<br>")) == "a&lt;<br>"


def test_attributes_are_quoted_and_escaped() -> None:
    assert tag("a", href="\"><script>'", class_="x", data_here=True, title=None, hidden=False) == (
        '<a href="&quot;&gt;&lt;script&gt;&#x27;" class="x" data-here></a>'
    )


def test_what_does_not_print_shows_in_text_and_stays_in_values() -> None:
    assert tag("p", "a\u202eb\x00", title="\u202e") == ('<p title="\u202e">a\\u202eb\\x00</p>')


def test_void_elements_have_no_end() -> None:
    assert tag("input", type="search", name="q", value="") == (
        '<input type="search" name="q" value="">'
    )
