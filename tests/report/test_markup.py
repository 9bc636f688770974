from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from tests.report.made import HOSTILE
from whisperopt.report.markup import Html, clean, named, tag

ANY = st.text(st.characters(exclude_categories=())) | st.just(HOSTILE)


class Reader(HTMLParser):
    """Notes what a browser would see."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@given(ANY, ANY)
def test_any_text_stays_text(text, value):
    page = tag("p", text, [named(text)], title=value).markup
    read = Reader(page)
    assert [name for name, _ in read.tags] == ["p", "bdi"]
    assert read.tags[0][1] == {"title": clean(value)}
    assert "".join(read.texts) == clean(text) * 2
    page.encode("utf-8")


def test_only_markup_is_markup():
    assert tag("p", Html("<b>"), "<b>").markup == "<p><b>&lt;b&gt;</p>"
    assert tag("meta", charset="utf-8").markup == '<meta charset="utf-8">'
    assert tag("p", None, class_="x", aria_label=None, hidden=True).markup == (
        '<p class="x" hidden></p>'
    )


def test_long_names_are_cut_where_that_is_wanted():
    assert named("x" * 9, 4).markup == '<bdi class="name">xxx…</bdi>'
