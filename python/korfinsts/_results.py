"""Records of an evaluation."""

from __future__ import annotations

from typing import Any, Iterable


class Results(list):
    """Records, one per model and suite: dictionaries as docs/record.md describes them.

    Printed as a table; :meth:`to_pandas` gives a data frame.
    """

    def __init__(self, records: Iterable[dict[str, Any]] = ()) -> None:
        super().__init__(records)

    def rows(self) -> list[dict[str, Any]]:
        """Model, suite, split, number of pairs, Spearman's ρ, and both ends of its 95 % interval."""
        rows = []
        for record in self:
            low, high = (record.get("interval") or {}).get("cosine_spearman") or (None, None)
            rows.append(
                {
                    "model": record["encoder"]["name"],
                    "suite": record["suite"]["id"],
                    "split": record["suite"]["split"],
                    "pairs": record["n_pairs"],
                    "spearman": record["scores"].get("cosine_spearman"),
                    "low": low,
                    "high": high,
                    "protocol": record["encoder"]["protocol"],
                }
            )
        return rows

    def of(self, model: str) -> Results:
        """The records of one model."""
        return Results(record for record in self if record["encoder"]["name"] == model)

    def to_pandas(self) -> Any:
        """:meth:`rows` as a ``pandas.DataFrame``."""
        import pandas

        return pandas.DataFrame(self.rows())

    def _cells(self) -> list[list[str]]:
        def number(value: float | None) -> str:
            return "-" if value is None else f"{value:.4f}"

        head = ["model", "suite", "split", "pairs", "ρ", "95 %"]
        return [head] + [
            [
                row["model"],
                row["suite"],
                row["split"],
                str(row["pairs"]),
                number(row["spearman"]),
                f"{number(row['low'])} to {number(row['high'])}",
            ]
            for row in self.rows()
        ]

    def __repr__(self) -> str:
        cells = self._cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells)

    def _repr_html_(self) -> str:
        import html

        head, *body = self._cells()
        line = lambda row, tag: "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in row) + "</tr>"
        return (
            f"<table><thead>{line(head, 'th')}</thead>"
            f"<tbody>{''.join(line(row, 'td') for row in body)}</tbody></table>"
        )
