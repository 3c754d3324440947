"""A1 notation: letters of columns and names of tabs, as Sheets writes them. Pure."""


def column_letter(position: int) -> str:
    """A1 name of a 0-based column.

    >>> column_letter(0), column_letter(25), column_letter(26), column_letter(701), column_letter(702)
    ('A', 'Z', 'AA', 'ZZ', 'AAA')
    """
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def cell_name(column: int, row: int) -> str:
    """A cell by its 0-based column and 1-based row.

    >>> cell_name(1, 17)
    'B17'
    """
    return f"{column_letter(column)}{row}"


def quote_tab(title: str) -> str:
    """A tab's name as A1 notation wants it.

    >>> quote_tab("Ana's list")
    "'Ana''s list'"
    """
    return "'" + title.replace("'", "''") + "'"
