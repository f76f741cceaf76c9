"""Writes a Korean corpus of any size from text of this project: one sentence per line.

    python benches/speed/make_corpus.py corpus.txt --megabytes 1000

Sentences are put together from the patterns below, the terms of `training/terms`, invented
company names and numbers; the same seed gives the same bytes. Names and numbers follow a heavy
tail, so that new words keep coming as in real text: the script says how many distinct eojeol the
corpus has.
"""

import argparse
import pathlib
import random

PATTERNS = [
    "{c}의 {q}분기 {t}이 전년 동기 대비 {p}% {up} {n}억원을 기록했다고 {d}일 공시했다.",
    "{c}은 {d}일 이사회를 열고 {n}억원 규모의 {t} 안건을 의결했다.",
    "시장에서는 {t} 우려가 커지면서 {c} 주가가 장중 {p}% {down} {n}원에 거래됐다.",
    "{a} 애널리스트는 {c}의 {t} 개선을 근거로 목표주가를 {n}원에서 {m}원으로 올려 잡았다.",
    "금융당국은 {t} 관련 제도를 손질해 {y}년 {mo}월부터 단계적으로 시행할 방침이다.",
    "{c} 관계자는 \"{t} 부담이 예상보다 컸지만 {q}분기부터는 나아질 것\"이라고 말했다.",
    "제{k}조({t}) 회사는 {t2}에 관한 사항을 지체 없이 금융위원회에 보고하여야 한다.",
    "{y}년 말 기준 {c}의 {t}은 {n}억{m2}만원으로, {t2}보다 {p}%포인트 높은 수준이다.",
    "원·달러 환율은 {t} 발표 직후 전 거래일보다 {p}원 오른 {n}원에 마감했다.",
    "{c}과 {c2}의 합병 비율은 1대 {p}로 정해졌으며 {t} 행사 기간은 {d}일까지다.",
    "투자자 보호를 위해 {t}과 {t2}을 함께 살펴야 한다는 지적이 나온다.",
    "{c} reported {t} of {n} billion won in Q{q} {y}, {p}% above consensus.",
]
UP = ["증가한", "늘어난", "급증한", "개선된", "확대된"]
DOWN = ["내린", "하락한", "급락한", "밀린"]
HEADS = "한 대 삼 신 동 서 남 북 금 은 현 두 세 미 유 진 우 명 성 광 태 청 화 경 일 영 아 라 비 코 에 이 오 나 다 마 바 사 자 차 카 타 파 하".split()
TAILS = "전자 화학 바이오 증권 은행 건설 중공업 에너지 제약 통신 물산 홀딩스 소재 테크 모빌리티 푸드 로직스 캐피탈 생명 해상".split()
NAMES = "김 이 박 최 정 강 조 윤 장 임".split()


def heavy(rng, most):
    """Small numbers often, large ones sometimes."""
    return min(most, int(rng.paretovariate(0.9) * rng.randint(1, 40)))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=20)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    root = pathlib.Path(__file__).resolve().parents[2]
    lines = (root / "training/terms/finance-ko.tsv").read_text(encoding="utf-8").splitlines()[1:]
    terms = [line.split("\t")[0] for line in lines]

    def company():
        n = min(4, 1 + int(rng.paretovariate(1.2)))
        return "".join(rng.choice(HEADS) for _ in range(n)) + rng.choice(TAILS)

    written, distinct, eojeol = 0, set(), 0
    with args.output.open("w", encoding="utf-8", newline="\n") as out:
        while written < args.megabytes * 1_000_000:
            chunk = []
            for _ in range(10_000):
                chunk.append(rng.choice(PATTERNS).format(
                    c=company(), c2=company(), t=rng.choice(terms), t2=rng.choice(terms),
                    q=rng.randint(1, 4), d=rng.randint(1, 31), mo=rng.randint(1, 12),
                    y=rng.randint(2010, 2026), k=rng.randint(1, 449),
                    p=f"{rng.expovariate(0.1):.{rng.randint(0, 2)}f}",
                    n=f"{heavy(rng, 9_999_999):,}", m=f"{heavy(rng, 999_999):,}",
                    m2=rng.randint(1, 9999), up=rng.choice(UP), down=rng.choice(DOWN),
                    a=rng.choice(NAMES) + rng.choice(HEADS) + rng.choice(HEADS),
                ))
            text = "\n".join(chunk) + "\n"
            out.write(text)
            written += len(text.encode("utf-8"))
            if len(distinct) < 5_000_000:
                words = text.split()
                eojeol += len(words)
                distinct.update(words)
    print(f"{args.output}: {written} bytes; {len(distinct)} distinct of the first {eojeol} eojeol")


if __name__ == "__main__":
    main()
