"""The two sets of pairs that the authors published, as CSV for `korfinsts suite new`.

    python authors_pairs.py FOLDER OUTPUT

FOLDER holds `NMIXX_kor_Fin_news.csv` and `final_law_df.csv` of https://github.com/nmixx-fin/TWICE at
5c8adf5ba45c6efb0dc275a587d14b00f1024f85. OUTPUT/authors-news.csv has the 498 news pairs as they are. OUTPUT/authors-law.csv has the
source text of each row with each of the two texts that were generated from it; the gold score is 1 where the row says `pos`. 500 rows
give 999 pairs, because one row has one text. No licence of the texts is known, so they are not in this repository.
"""

import csv
import re
import sys
from pathlib import Path

NEWS, LAW = "NMIXX_kor_Fin_news.csv", "final_law_df.csv"
MARK = re.compile(r"<<<\s*(?:END\s*)?TEXT\s*\d*\s*>*")


def law(rows):
    """The pairs of the law file: source, generated text, gold score."""
    for row in rows:
        texts = [text.strip() for text in MARK.split(row["generated_texts"])]
        for text in filter(None, texts):
            yield row["text"], text, int(row["pos_or_neg"] == "pos")


def main(folder, output):
    def rows(name):
        with open(Path(folder, name), encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    news = [(row["sentence1"], row["sentence2"], row["score"]) for row in rows(NEWS)]
    for name, pairs, count in (("authors-news", news, 498), ("authors-law", list(law(rows(LAW))), 999)):
        if len(pairs) != count:
            sys.exit(f"{name}: expected {count} pairs, found {len(pairs)}; is this another version of the file?")
        with open(Path(output, f"{name}.csv"), "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("sentence1", "sentence2", "score"))
            writer.writerows(pairs)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
