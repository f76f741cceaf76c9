"""The same twelve pairs as other software saves them. Needs pandas with pyarrow or fastparquet."""

import json
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
ROWS = [
    ("한국은행이 기준금리를 올렸다.", "한은이 금리를 인상했다.", 4.5),
    ("영업이익이 크게 늘었다.", "영업이익이 크게 줄었다.", 1.0),
    ("주가가 3% 상승했다.", "주가가 3% 올랐다.", 5.0),
    ('회사는 "배당을 늘린다"고 밝혔다.', "회사는 배당 확대를 발표했다.", 4.0),
    ("환율이 1,300원을 넘었다.", "환율이 1,300원을 돌파했다.", 4.5),
    ("채권 금리가 내렸다; 주가는 올랐다.", "채권 금리가 하락했다.", 3.0),
    ("순손실이 확대됐다.", "날씨가 맑다.", 0.0),
    ("매출이 줄었다.", "매출이 감소했다.", 5.0),
    ("은행이 대출을 줄였다.", "은행이 예금을 늘렸다.", 2.0),
    ("정부가 세금을 올린다.", "정부가 증세를 추진한다.", 4.0),
    ("유가가 급등했다.", "유가가 급락했다.", 1.5),
    ("수출이 늘었다.", "커피가 식었다.", 0.0),
]

frame = pd.DataFrame(ROWS, columns=["sentence1", "sentence2", "score"])
frame.to_csv(HERE / "plain.csv", index=False)
# The index becomes a first column without a name.
frame.rename(columns={"sentence1": "text1", "sentence2": "text2", "score": "label"}).to_csv(HERE / "pandas.csv")
# As a spreadsheet saves "CSV UTF-8" where the comma is for decimals: mark, CRLF, `;`.
excel = frame.rename(columns={"sentence1": "문장1", "sentence2": "문장2", "score": "점수"})
excel.to_csv(HERE / "excel.csv", index=False, sep=";", decimal=",", encoding="utf-8-sig", lineterminator="\r\n")
# As a Korean Windows saves "CSV".
excel.to_csv(HERE / "cp949.csv", index=False, encoding="cp949", lineterminator="\r\n")
# As a spreadsheet saves "Unicode Text": UTF-16 with tabs.
frame.to_csv(HERE / "unicode.txt", index=False, sep="\t", encoding="utf-16", lineterminator="\r\n")
frame.to_json(HERE / "lines.jsonl", orient="records", lines=True, force_ascii=False)
with open(HERE / "nested.json", "w", encoding="utf-8") as file:
    rows = [{"guid": f"x-{i}", "sentence1": a, "sentence2": b, "labels": {"real-label": s}} for i, (a, b, s) in enumerate(ROWS)]
    json.dump(rows, file, ensure_ascii=False, indent=1)
frame.to_parquet(HERE / "pairs.parquet", index=False)
# No header, tabs, quotes are characters.
(HERE / "bare.tsv").write_text("".join(f"{a}\t{b}\t{s}\n" for a, b, s in ROWS), encoding="utf-8")
