//! Text in one encoding that was read as another.

/// Characters that bytes of UTF-8 become when they are read as Windows-1252 or Latin-1: the byte.
fn byte(c: char) -> Option<u8> {
    Some(match c {
        '\u{80}'..='\u{FF}' => c as u8,
        '€' => 0x80,
        '‚' => 0x82,
        'ƒ' => 0x83,
        '„' => 0x84,
        '…' => 0x85,
        '†' => 0x86,
        '‡' => 0x87,
        'ˆ' => 0x88,
        '‰' => 0x89,
        'Š' => 0x8A,
        '‹' => 0x8B,
        'Œ' => 0x8C,
        'Ž' => 0x8E,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '•' => 0x95,
        '–' => 0x96,
        '—' => 0x97,
        '˜' => 0x98,
        '™' => 0x99,
        'š' => 0x9A,
        '›' => 0x9B,
        'œ' => 0x9C,
        'ž' => 0x9E,
        'Ÿ' => 0x9F,
        _ => return None,
    })
}

/// Characters of a text that another encoding left: two or more whole UTF-8 sequences read byte by
/// byte, or runs of four and more bytes of a Korean code page, of three and more different ones.
pub(super) fn mojibake(text: &str) -> u32 {
    let (mut sequences, mut pages) = (0, 0);
    let mut run: Vec<u8> = Vec::new();
    let mut end = |run: &mut Vec<u8>| {
        if run.len() >= 2 {
            sequences += utf8_sequences(run);
            let page = run.len() >= 4 && run.iter().all(|b| (0xA1..=0xFE).contains(b));
            let mut different = run.clone();
            different.sort_unstable();
            different.dedup();
            if page && different.len() >= 3 {
                pages += run.len() as u32;
            }
        }
        run.clear();
    };
    for c in text.chars() {
        match byte(c) {
            Some(byte) => run.push(byte),
            None if !run.is_empty() => end(&mut run),
            None => {}
        }
    }
    end(&mut run);
    pages.max(if sequences >= 2 { sequences } else { 0 })
}

fn utf8_sequences(run: &[u8]) -> u32 {
    let (mut count, mut at) = (0, 0);
    while at < run.len() {
        let length = match run[at] {
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        let valid = run
            .get(at..at + length)
            .is_some_and(|s| length > 1 && std::str::from_utf8(s).is_ok());
        count += u32::from(valid);
        at += if valid { length } else { 1 };
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_encodings_are_told_from_marks_and_accents() {
        for (text, found) in [
            ("금리 인상", false),
            ("“금리”…… ‘동결’ — 5°C ± 2 × 3 · ······", false),
            ("café, naïve, Zürich, São Paulo", false),
            ("ê¸ˆë¦¬", true),
            ("cafÃ© dÃ©jÃ", true),
            ("±Ý¸® ÀÎ»ó", true),
        ] {
            assert_eq!(mojibake(text) > 0, found, "{text}");
        }
    }
}
