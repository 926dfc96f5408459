"""CSV: fields separated by commas (or tabs, as OpenCLIP's examples are) and quoted where they need it."""

from __future__ import annotations

import csv

from simclip.data.sources.source import File, Rows, Source
from simclip.data.sources.tsv import read_fields, rows_of
from simclip.data.table import Reading


class Csv(Source):
    """A CSV with a header. The fields are separated by tabs if the header has one."""

    suffixes = (".csv",)

    def read(self, file: File, reading: Reading) -> Rows:
        """See `Source.read`."""
        with file.path.open("rb") as lines:
            separator = "\t" if b"\t" in lines.readline(1 << 16) else ","
        frame = read_fields(file.path, file.title, separator, csv.QUOTE_MINIMAL, "filepath, title")
        return rows_of(file.title, frame, reading, "row", 1)
