//! One clean pass over markup, and what is left after it.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

/// Elements whose tags are markup wherever they occur, in order; those in `BLOCKS` end a line.
const ELEMENTS: [&str; 66] = [
    "a",
    "abbr",
    "article",
    "b",
    "blockquote",
    "body",
    "br",
    "button",
    "center",
    "cite",
    "code",
    "dd",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "i",
    "iframe",
    "img",
    "input",
    "li",
    "link",
    "main",
    "meta",
    "nav",
    "noscript",
    "ol",
    "option",
    "p",
    "pre",
    "script",
    "section",
    "select",
    "small",
    "span",
    "strong",
    "style",
    "sub",
    "sup",
    "svg",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "title",
    "tr",
    "u",
    "ul",
    "video",
];
const BLOCKS: [&str; 24] = [
    "article",
    "blockquote",
    "body",
    "br",
    "dd",
    "div",
    "dt",
    "figcaption",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "p",
    "section",
    "table",
    "title",
    "tr",
    "ul",
];
/// Character references that pages of text use.
const REFERENCES: [(&str, &str); 23] = [
    ("amp", "&"),
    ("apos", "'"),
    ("bull", "•"),
    ("copy", "©"),
    ("deg", "°"),
    ("euro", "€"),
    ("gt", ">"),
    ("hellip", "…"),
    ("laquo", "«"),
    ("ldquo", "“"),
    ("lsquo", "‘"),
    ("lt", "<"),
    ("mdash", "—"),
    ("middot", "·"),
    ("nbsp", " "),
    ("ndash", "–"),
    ("pound", "£"),
    ("quot", "\""),
    ("raquo", "»"),
    ("rdquo", "”"),
    ("reg", "®"),
    ("rsquo", "’"),
    ("times", "×"),
];
/// Longest tag.
const LONGEST: usize = 2000;

/// A text as every step sees it: NFC, line ends `\n`, no white space around it, and markup taken
/// out once. Whether there was markup.
#[must_use]
pub fn clean(text: &str) -> (Cow<'_, str>, bool) {
    let text = text.trim();
    let mut clean = Cow::Borrowed(text);
    if text.contains('\r') {
        clean = text.replace("\r\n", "\n").replace('\r', "\n").into();
    }
    if !is_composed(&clean) {
        clean = clean.nfc().collect::<String>().into();
    }
    let marked = next_markup(&clean, 0).is_some();
    if marked {
        clean = strip(&clean).into();
    }
    (clean, marked)
}

/// Whether a text is NFC for sure: Latin letters, punctuation and Hangul syllables, nothing that
/// combines. A text for which this is false may still be NFC.
fn is_composed(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, '\0'..='\u{2FF}' | '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205E}'
            | '\u{20A0}'..='\u{20BF}' | '\u{2190}'..='\u{21FF}' | '\u{2460}'..='\u{2ADB}'
            | '\u{3000}'..='\u{3029}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}'
            | '\u{FF01}'..='\u{FF60}')
    })
}

/// A piece of markup: where it begins and ends, and what replaces it.
struct Markup<'a> {
    start: usize,
    end: usize,
    stands_for: Cow<'a, str>,
}

fn next_markup(text: &str, from: usize) -> Option<Markup<'_>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while let Some(found) = bytes[at..].iter().position(|b| matches!(b, b'<' | b'&')) {
        let start = at + found;
        let markup = if bytes[start] == b'<' {
            tag(text, start)
        } else {
            reference(text, start)
        };
        if markup.is_some() {
            return markup;
        }
        at = start + 1;
    }
    None
}

fn tag(text: &str, start: usize) -> Option<Markup<'_>> {
    let rest = &text[start + 1..];
    let whole = |end: usize, stands_for: &'static str| Markup {
        start,
        end,
        stands_for: stands_for.into(),
    };
    if let Some(comment) = rest.strip_prefix("!--") {
        let end = comment.find("-->")?;
        return Some(whole(start + 1 + 3 + end + 3, " "));
    }
    let body = rest.strip_prefix(['/', '!']).unwrap_or(rest);
    let length = body.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let name = body[..length].to_ascii_lowercase();
    let after = body[length..].bytes().next()?;
    if !matches!(after, b'>' | b'/' | b' ' | b'\n' | b'\t') {
        return None;
    }
    if name != "doctype" && ELEMENTS.binary_search(&name.as_str()).is_err() {
        return None;
    }
    let close = rest.bytes().take(LONGEST).position(|b| b == b'>')?;
    let mut end = start + 1 + close + 1;
    if matches!(name.as_str(), "script" | "style") && !rest.starts_with('/') {
        let ending = format!("</{name}");
        let lower = text[end..].to_ascii_lowercase();
        let closing = lower.find(&ending)?;
        end += closing + lower[closing..].find('>')? + 1;
    }
    let block = BLOCKS.binary_search(&name.as_str()).is_ok();
    Some(whole(
        end,
        match name.as_str() {
            "td" | "th" => " ",
            _ if block => "\n",
            _ => "",
        },
    ))
}

fn reference(text: &str, start: usize) -> Option<Markup<'_>> {
    let rest = &text[start + 1..];
    let length = rest.bytes().take(10).position(|b| b == b';')?;
    let name = &rest[..length];
    let end = start + 1 + length + 1;
    let stands_for = if let Some(number) = name.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        let c = char::from_u32(code)?;
        Cow::Owned(if c.is_control() { ' ' } else { c }.to_string())
    } else {
        let at = REFERENCES.binary_search_by(|(n, _)| (*n).cmp(name)).ok()?;
        Cow::Borrowed(REFERENCES[at].1)
    };
    Some(Markup {
        start,
        end,
        stands_for,
    })
}

/// The text without its markup, with runs of spaces and of line ends made one.
fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(markup) = next_markup(text, at) {
        out.push_str(&text[at..markup.start]);
        out.push_str(&markup.stands_for);
        at = markup.end;
    }
    out.push_str(&text[at..]);
    let lines: Vec<String> = out
        .split('\n')
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty())
        .collect();
    lines.join("\n")
}

/// Pieces of markup in a text.
pub(super) fn left(text: &str) -> u32 {
    let (mut count, mut at) = (0, 0);
    while let Some(markup) = next_markup(text, at) {
        count += 1;
        at = markup.end;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order() {
        assert!(ELEMENTS.is_sorted() && BLOCKS.is_sorted() && REFERENCES.is_sorted());
    }

    #[test]
    fn markup_goes_and_signs_stay() {
        for (text, expected, marked) in [
            ("영업이익 < 0 & 매출 > 1", "영업이익 < 0 & 매출 > 1", false),
            ("S&P 500; R&D; AT&T", "S&P 500; R&D; AT&T", false),
            ("<금융위원회> 보도자료", "<금융위원회> 보도자료", false),
            ("<p>금리</p><p>동결</p>", "금리\n동결", true),
            ("A&amp;B&nbsp;<b>C</b>&#44032;", "A&B C가", true),
            ("a<!-- x -->b<script>if (a<b) {}</script>c", "a bc", true),
            ("<td>1</td><td>2</td>", "1 2", true),
            ("&lt;p&gt;두 번", "<p>두 번", true),
            ("가\r\n나", "가\n나", false),
            ("\u{1100}\u{1161}", "가", false),
        ] {
            let (found, was) = clean(text);
            assert_eq!((found.as_ref(), was), (expected, marked), "{text}");
        }
        assert_eq!(left("<p>두 번"), 1);
        assert_eq!(left("a < b"), 0);
    }
}
