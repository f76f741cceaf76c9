"""Token ids of the SentencePiece library for sentences written for this project.

    pip install sentencepiece
    python make.py path/to/mistral-7b-v0.1/tokenizer.model > golden.json

The model file is not shipped; tests that need it read it where `KORFINSTS_SHARED` says.
"""

import json
import sys

import sentencepiece

TEXTS = [
    "",
    "a",
    "금리",
    " 앞에 빈칸",
    "뒤에 빈칸 ",
    "한국은행은 기준금리를 0.25%포인트 인상했다.",
    "전년 동기 대비 영업이익이 12.3% 감소한 1조 2,345억원으로 잠정 집계됐다.",
    "회사는 무보증 전환사채(CB) 500억원을 발행하기로 결정했다고 공시했다.",
    "목표주가를 85,000원에서 92,000원으로 상향하고 투자의견 '매수'를 유지한다.",
    "제15조(계약의 해지) ① 갑은 을이 의무를 이행하지 아니한 때에는 계약을 해지할 수 있다.",
    "The Bank of Korea raised its base rate by 25bp.",
    "Net interest margin (NIM) fell 3bp QoQ to 1.62%; CET1 stood at 13.4%.",
    "Mixed 한글 and English, 1조 2,000억원 (KRW 1.2tn)!",
    "ㅋㅋㅋ ㅠㅠ 자모 ㄱㄴㄷ",
    "\u1100\u1161\u11a8 각 \u110e\u1175\u11af\uac00",
    "🚀 emoji 👩‍💻 and 漢字 mixed 코스피 ﷺ ①②",
    "line one\nline two\ttab\r\nline three",
    "double  spaces   and    more",
    "ÀÉÎ õü café naïve ﬁnance",
    "뷁쒧쀍 훹 햏햏 뛟",
    "http://example.com/금융?a=1&b=2 user@example.com #채권 $AAPL ₩1,000 €5 £3",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "가나다라마바사아자차카타파하" * 6,
]


def main() -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
    golden = {
        "made_with": {"sentencepiece": sentencepiece.__version__},
        "note": "mistral[i] are the ids of texts[i], without <s>",
        "texts": TEXTS,
        "mistral": [processor.encode(text) for text in TEXTS],
    }
    json.dump(golden, sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    main()
