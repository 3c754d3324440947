"""Text from cells and mail is shown as it is, and never becomes a picture, a link, a row or a steering character."""

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cheerful_pipelines
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown, escaped, link, table
from cheerful_pipelines.core.plain_text import one_line, printable

PACKAGE = Path(cheerful_pipelines.__file__).parent
HOSTILE = st.text(alphabet=st.sampled_from("ab |\\`*_[]()!<>#~&\n\r\t\x1b\u202e\u2066\u2028x:/"), max_size=30)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(HOSTILE, HOSTILE), max_size=4))
def test_a_table_has_a_line_per_row_and_a_cell_per_column_whatever_is_in_them(rows: list[tuple[str, str]]) -> None:
    lines = table(("one", "two"), rows).split("\n")

    assert len(lines) == 2 + len(rows)
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines} == {3}


@settings(deadline=None, max_examples=200)
@given(HOSTILE)
def test_no_special_character_survives_without_its_escape(text: str) -> None:
    shown = escaped(text)

    assert re.search(r"(?<!\\)(?:\\\\)*[\[\]`*|~]", shown) is None
    assert "![" not in shown
    assert not set(shown) & set("<>\n\r\x1b\u202e\u2066\u2028")


def test_a_tracking_pixel_in_a_cell_is_text() -> None:
    shown = table(("header",), [("![](http://pixel.example/1.png)",), ("<img src=x>",)])

    assert "![" not in shown
    assert "](http" not in shown
    assert "<img" not in shown


def test_markdown_of_ours_passes_through_and_a_link_takes_no_script() -> None:
    ours = link("t1", "https://mail.google.com/mail/#all/t1")

    assert table(("thread",), [(ours,)]).endswith("| [t1](https://mail.google.com/mail/#all/t1) |")
    with pytest.raises(ValueError, match="linked"):
        link("x", "javascript:alert(1)")
    with pytest.raises(ValueError, match="linked"):
        link("x", "https://a.example/) ![](http://b.example")


def test_words_inside_a_name_stay_readable() -> None:
    assert escaped("not_interested 34.5 % spring-2026") == "not_interested 34.5 % spring-2026"
    assert escaped("A2: #REF! AT&T &amp; #1") == "A2: #REF! AT&T \\&amp; #1"
    assert escaped("# heading") == "\\# heading"
    assert escaped("_emphasis_") == "\\_emphasis\\_"


def test_control_and_bidirectional_characters_are_shown_as_replaced() -> None:
    assert printable("a\x1b[2J\u202eb\nc\ud800") == "a\ufffd[2J\ufffdb\nc\ufffd"
    assert one_line("a\r\nlevel=error\tb") == "a level=error b"
    assert one_line("👩\u200d🎨") == "👩\u200d🎨"


def _python_files() -> list[Path]:
    return [path for path in PACKAGE.rglob("*.py") if path != Path(markdown.__file__)]


_BY_HAND = re.compile(r"\|\s*:?-{3,}|(?<![?<])!\[|\]\($|^\| | \|$|^ \| $")
"""A ruler of a table, an image (`(?<![a-z])` is a regular expression), a link, a cell."""


def _built_by_hand(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    return {
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
            and path.name not in NOT_MARKDOWN and _BY_HAND.search(node.value)
        )
        or (isinstance(node, ast.Attribute) and node.attr in ("md", "MarkdownMetadataValue")
            and path.name != "table_metadata.py")
    }  # fmt: skip


def test_no_file_builds_or_shows_markdown_by_hand() -> None:
    """Tables, pictures and links are built by core/markdown.py only, and shown by markdown_metadata only."""
    assert [place for path in _python_files() for place in _built_by_hand(path)] == []


@pytest.mark.parametrize(
    "line",
    ['x = "| a | b |"', 'x = "|---|---:|"', 'x = f"| {a} | {b} |"', 'x = f"![{a}]({b})"', 'x = f"[{a}]({b})"',
     "x = dg.MetadataValue.md(a)", 'x = " | ".join(a)'],
)  # fmt: skip
def test_markdown_that_is_built_by_hand_is_found(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "new.py").write_text(line)
    monkeypatch.setattr("cheerful_pipelines_tests.core.test_markdown.PACKAGE", tmp_path)

    assert _built_by_hand(tmp_path / "new.py") == {"new.py:1"}


def test_nothing_of_the_package_makes_text_markdown_without_escaping_it() -> None:
    """`Markdown(...)` is a promise; only core/markdown.py gives it."""
    made = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in _python_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Markdown"
        and not all(isinstance(argument, ast.Constant) for argument in node.args)
    ]  # fmt: skip

    assert made == []
    assert isinstance(escaped("x"), Markdown)


NOT_MARKDOWN = frozenset({"private_words.py", "person_store.py", "phrase_bank.py", "rules.py"})
"""Their bars and brackets are regular expressions, or split a file of ours."""
