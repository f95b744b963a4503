"""Dates and times as people write them: the one strftime format that all values of a column have.

A format is derived from the first value, and holds only if every value is read by it and written
back by it as it was. `%^` before a code, as in glibc, says that letters are capitals.
"""

from __future__ import annotations

import itertools
import re

import polars as pl

FRACTION = re.compile(r"%\.(\d)f")  # of a second, in that many digits; %.f is one of any length
CLOCK = re.compile(
    r"(?P<clock>(?P<hour>\d{1,2}):\d\d(?P<seconds>:\d\d(?P<fraction>\.\d+)?)?)"
    r"(?P<half>\s?[AaPp][Mm])?(?P<zone>\s?(?:Z|[+-]\d\d(?P<colon>:?)\d\d))?$"
)
PARTS = re.compile(r"\d+|[A-Za-z]+|[^A-Za-z\d]+")
MONTHS = "January February March April May June July August September October November December"
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
UTC_OFFSET = re.compile(r"(?:Z|(?P<sign>[+-])(?P<hours>\d\d):?(?P<minutes>\d\d))$")
TIME_OF_DAY = re.compile("%-?[HIMSfpTRcsk]|%.f")
CALENDAR_CODES = {"%m": "mbBhjcxDFs", "%d": "dejcxDFs"}  # codes that imply the month, the day
FEW = 100  # values that show whether it is worth looking at all of them


def parse_times(
    column: pl.Series, known: str | None = None
) -> tuple[pl.Series, str | None, str | None]:
    """Return a column of text as dates, date-times or times, with their format and a note.

    Text that is neither is returned unchanged, without a format. A `known` format is the only one
    that is tried; integers such as 20240131 may have one, too. A note says where the day cannot be
    told from the month.
    """
    if known is not None:
        return *_parsed(column, known), None
    few = column.drop_nulls().head(FEW).str.strip_chars()
    fitting = [form for form in _candidates(few[0]) if _is_read(few, form)] if len(few) else []
    if not fitting:
        return column, None, None
    text = column.drop_nulls().unique(maintain_order=True).str.strip_chars()
    fitting = [form for form in fitting if _is_read(text, form)]
    written = [found for found in (_as_written(text, form) for form in fitting) if found]
    if not written:
        return column, None, None
    parsed, form = _parsed(column, written[0])
    return parsed, form, _undecided(written) if form else None


def format_times(values: pl.Series, time_format: str) -> pl.Series:
    """Return times as text.

    Polars writes a fraction in 3, 6 or 9 digits: other lengths are cut from nine.
    """
    form = time_format.replace("%^", "%")
    fraction = FRACTION.search(form)
    text = values.dt.strftime(FRACTION.sub("%.9f\0", form))
    if fraction:
        text = text.str.replace(rf"\d{{{9 - int(fraction[1])}}}\x00", "")
    return text.str.to_uppercase() if "%^" in time_format else text


def _undecided(written: list[str]) -> str | None:
    """Return a note where day and month of a date, both in numbers, may change places."""
    orders = {_fields(form) for form in written if {"d", "m"} <= set(_fields(form))}
    if not any(_swapped(order) in orders for order in orders):
        return None
    return f"reads dates with the {'day' if is_day_first(written[0]) else 'month'} first"


def date_layout(form: str) -> str | None:
    """Return a format's date without telling day from month; None where these are not numbers."""
    date = re.split(r"[T ]*%-?[HI]", form)[0]
    layout = re.sub("%-?[dm]", "%#", date).replace("%y", "%Y")
    return layout if layout.count("%#") == 2 else None


def with_order(form: str, *, day_first: bool) -> str:
    """Return a format with the day before the month, or behind it."""
    if is_day_first(form) == day_first:
        return form
    return re.sub("(%-?)([dm])", lambda code: code[1] + "dm"[code[2] == "d"], form)


def _fields(form: str) -> str:
    """Return the letters of a format's codes: `dmY` of %d.%-m.%Y."""
    return "".join(re.findall(r"%[-^]?([A-Za-z])", form))


def _swapped(order: str) -> str:
    return order.translate(str.maketrans("dm", "md"))


def _candidates(example: str) -> list[str]:
    """Return the formats that an example may have, the likeliest first.

    A year of two digits stands last, or else first; between slashes the month mostly stands first,
    between points and dashes the day.
    """
    clock = CLOCK.search(example)
    date = example[: clock.start()] if clock else example
    tails = [""] if clock is None else _clock_formats(clock)
    if clock and not date:
        return tails
    forms = ["".join(chosen) for chosen in itertools.product(*map(_codes, PARTS.findall(date)))]
    dates = [form for form in forms if _is_calendar(_fields(form))]
    slash = "/" in date
    dates.sort(
        key=lambda form: ("%y" in form and not form.endswith("%y"), is_day_first(form) == slash)
    )
    return [form + tail for tail in tails for form in dates]


def _is_calendar(fields: str) -> bool:
    """Whether a date has a year and a month, and perhaps a day, in an order that people use."""
    kinds = re.sub("[aA]", "", fields).translate(str.maketrans("bBy", "mmY"))
    return kinds in ("Ymd", "dmY", "mdY", "Ym", "mY")


def is_day_first(form: str) -> bool:
    """Whether a format has the day before the month."""
    fields = _fields(form).translate(str.maketrans("bB", "mm"))
    return "d" in fields and fields.find("d") < fields.find("m")


def _codes(part: str) -> list[str]:
    """Return the strftime codes that a part of a date may be, likeliest first."""
    if part.isdigit():
        return {4: ["%Y"], 2: ["%d", "%m", "%y"], 1: ["%d", "%m"]}.get(len(part), [])
    if part.isalpha():
        names = {"%B": MONTHS.split(), "%A": DAYS.split()}
        names |= {"%b": [m[:3] for m in names["%B"]], "%a": [d[:3] for d in names["%A"]]}
        known = [code for code in ("%b", "%B", "%a", "%A") if part.title() in names[code]]
        return known or ([part] if part == "T" else [])
    return [part.replace("%", "%%")]


def _clock_formats(match: re.Match[str]) -> list[str]:
    """Return the strftime formats of a time of day: with the zone that all have, or any zone."""
    half = match["half"] or ""
    form = ("%I" if half else "%H") + ":%M" + (":%S" if match["seconds"] else "")
    form += "%.f" if match["fraction"] else ""
    form += half[:-2] + ("" if not half else "%p" if half.isupper() else "%P")
    zone = match["zone"] or ""
    if zone.strip() in ("", "Z"):
        return [form + zone]
    blank = " " * zone.startswith(" ")
    return [form + zone, f"{form}{blank}{'%:z' if match['colon'] else '%z'}"]


def utc_offset(time_format: str) -> int | None:
    """Return the offset from UTC, in seconds, that all times of a format have; None without one."""
    offset = UTC_OFFSET.search(time_format)
    if offset is None or not TIME_OF_DAY.search(time_format):
        return None
    seconds = int(offset["hours"] or 0) * 3600 + int(offset["minutes"] or 0) * 60
    return -seconds if offset["sign"] == "-" else seconds


def _is_read(text: pl.Series, form: str) -> bool:
    return _strptime(text, form).null_count() == 0


def _as_written(text: pl.Series, form: str) -> str | None:
    """Return the format, without leading zeros or in capitals, that writes all texts as they are.

    Times with a zone, or with fractions of varying length, need not be: they are the same times.
    """
    form = form.replace("%.f", _fraction(text))
    if re.search("%:?z", form):
        return form
    times = _strptime(text, form)
    for padded in itertools.product(*([c, f"%-{c[1]}"] for c in re.findall("%[dmHI]", form))):
        codes = iter(padded)
        bare = re.sub("%[dmHI]", lambda _: next(codes), form)  # noqa: B023 - used at once
        for cased in (bare, re.sub("%([aAbBp])", r"%^\1", bare)):
            if (format_times(times, cased) == text).all():
                return cased
    return form if re.search(r"%\.\d?f", form) else None


def _fraction(text: pl.Series) -> str:
    """Return the code of a fraction of a second: with the number of digits that all texts have."""
    lengths = text.str.extract(r":\d\d\.(\d+)").str.len_bytes().unique().to_list()
    return f"%.{lengths[0]}f" if len(lengths) == 1 and lengths[0] in range(1, 10) else "%.f"


def _strptime(text: pl.Series, form: str) -> pl.Series:
    """Return times, null where a text is none; a format without month or day means the first."""
    plain = FRACTION.sub("%.f", form.replace("%^", "%").replace("%-", "%"))
    has_date, has_clock = "%Y" in plain or "%y" in plain, bool(TIME_OF_DAY.search(plain))
    if not has_date:
        return text.str.strptime(pl.Time, plain, strict=False)
    absent = [
        code for code, implying in CALENDAR_CODES.items() if not re.search(f"%[{implying}]", plain)
    ]
    text = text + " 01" * len(absent)
    dtype = pl.Datetime("us") if has_clock else pl.Date()
    return text.str.strptime(dtype, " ".join([plain, *absent]), strict=False)


def _parsed(column: pl.Series, form: str) -> tuple[pl.Series, str | None]:
    """Return the times of a column and their format; the column and None if any is invalid."""
    parsed = _strptime(column.cast(pl.String).str.strip_chars(), form)
    if parsed.null_count() != column.null_count():
        return column, None
    offset = utc_offset(form)
    if offset is None:
        return parsed, form
    return parsed.dt.offset_by(f"{-offset}s").dt.replace_time_zone("UTC"), form
