"""The marks beside numbers and rows of a table: their characters, and how HTML shows them."""

import html

DAGGER = "\u2020"  # no measure of robustness according to an audit
CONSTANT_MARK = "\u2021"  # not above a constant answer
ROW_MARK = "\u00a7"  # the row's model has learned nothing
WEAK_MARK = "\u00b6"  # a weak attack
GUESS_MARK = "\u2016"  # a selection module or a generator that only guesses

# Mark -> class of its color in `page_style.STYLE`, and its meaning in a few words.
MARKS = {
    DAGGER: ("fault", "no measure of robustness"),
    CONSTANT_MARK: ("constant", "not above a constant answer"),
    ROW_MARK: ("constant", "the model has learned nothing"),
    WEAK_MARK: ("weak", "weak attack"),
    GUESS_MARK: ("guess", "the selection module does not select, or the generator only guesses"),
}


def with_marks(text: str) -> str:
    """Return text as HTML, escaped, each of its marks colored and with its meaning."""
    return "".join(html_mark(letter) if letter in MARKS else html.escape(letter) for letter in text)


def html_mark(mark: str) -> str:
    kind, meaning = MARKS[mark]
    return f'<abbr class="mark {kind}" title="{meaning}">{mark}</abbr>'


def kind_of(text: str) -> str:
    """Return the class of the gravest mark in a text, empty without one."""
    return next((kind for mark, (kind, _) in MARKS.items() if mark in text), "")
