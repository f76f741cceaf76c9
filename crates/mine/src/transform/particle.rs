//! Korean particles follow the sound that their word ends in: 은/는, 이/가, 을/를, 과/와, 으로/로.

use serde::Deserialize;

/// How a word ends when it is read out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Ending {
    /// A vowel.
    #[default]
    #[serde(rename = "v")]
    Vowel,
    /// The consonant ㄹ.
    #[serde(rename = "l")]
    Rieul,
    /// Another consonant.
    #[serde(rename = "c")]
    Consonant,
}

/// The particles of a language and how words that are not Hangul end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Particles {
    /// `[after a final consonant, after a vowel]`.
    pub pairs: Vec<[String; 2]>,
    /// First forms whose second form follows a final ㄹ too.
    #[serde(default)]
    pub rieul: Vec<String>,
    /// How the digits 0 to 9 end.
    pub digits: [Ending; 10],
    /// Endings of words that are not Hangul.
    #[serde(default)]
    pub words: Vec<(String, Ending)>,
    /// Capital letters that do not end in a vowel when read one by one.
    #[serde(default)]
    pub letters: Vec<(char, Ending)>,
}

impl Particles {
    /// How `word` ends; `None` where nobody can tell from its letters.
    #[must_use]
    pub fn ending(&self, word: &str) -> Option<Ending> {
        let word = word.trim_end_matches(['\'', '"', '’', '”', '」', '』', '>', '〉', '》']);
        // A particle after a parenthesis belongs to the word before it.
        if let Some(inside) = word.strip_suffix([')', ']']) {
            let open = inside.rfind(['(', '['])?;
            return self.ending(inside[..open].trim_end());
        }
        let last = word.chars().next_back()?;
        if let '가'..='힣' = last {
            return Some(match (u32::from(last) - 0xAC00) % 28 {
                0 => Ending::Vowel,
                8 => Ending::Rieul,
                _ => Ending::Consonant,
            });
        }
        if let Some(known) = self
            .words
            .iter()
            .filter(|(w, _)| word.ends_with(w.as_str()))
            .max_by_key(|(w, _)| w.len())
        {
            return Some(known.1);
        }
        if let Some(digit) = last.to_digit(10) {
            return Some(self.number(word, digit as usize));
        }
        let latin: Vec<char> = word
            .chars()
            .rev()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        if last.is_ascii_uppercase() && latin.iter().all(|c| !c.is_ascii_lowercase()) {
            let found = self.letters.iter().find(|(c, _)| *c == last);
            return Some(found.map_or(Ending::Vowel, |(_, e)| *e));
        }
        None
    }

    /// 십, 백, 천 and 만 end in consonants whatever digit precedes them, and so does a
    /// number whose last digits are zeros; after a decimal point digits are read one by one.
    fn number(&self, word: &str, digit: usize) -> Ending {
        let digits: String = word
            .chars()
            .rev()
            .take_while(|c| c.is_ascii_digit() || matches!(c, ',' | '.'))
            .collect();
        if digit == 0 && !digits.contains('.') && digits.len() > 1 {
            return Ending::Consonant;
        }
        self.digits[digit]
    }

    /// The particle at the start of `after` that does not fit `before`: its length in bytes and
    /// the form that fits. `None` where it fits, none is there, or nobody can tell.
    #[must_use]
    pub fn mend(&self, before: &str, after: &str) -> Option<(usize, &str)> {
        let (pair, found) = self.at(after)?;
        let wanted = self.fitting(pair, self.ending(before)?);
        (wanted != found).then_some((found.len(), wanted))
    }

    /// The form of `pair` after `before`; the first where nobody can tell.
    #[must_use]
    pub fn choose<'a>(&'a self, pair: &'a [String; 2], before: &str) -> &'a str {
        self.fitting(pair, self.ending(before).unwrap_or(Ending::Consonant))
    }

    fn fitting<'a>(&self, pair: &'a [String; 2], ending: Ending) -> &'a str {
        match ending {
            Ending::Vowel => &pair[1],
            Ending::Rieul if self.rieul.contains(&pair[0]) => &pair[1],
            _ => &pair[0],
        }
    }

    /// The longest particle that `after` starts with and that ends a word there.
    fn at(&self, after: &str) -> Option<(&[String; 2], &str)> {
        let mut best: Option<(&[String; 2], &str)> = None;
        for pair in &self.pairs {
            for form in pair {
                let Some(rest) = after.strip_prefix(form.as_str()) else {
                    continue;
                };
                let ends = rest
                    .chars()
                    .next()
                    .is_none_or(|c| !c.is_alphanumeric() && c != '%');
                if ends && best.is_none_or(|(_, f)| f.len() < form.len()) {
                    best = Some((pair, form));
                }
            }
        }
        best
    }

    /// `text` with each `{을/를}` replaced by the form that fits what precedes it, which may be
    /// the end of `before`. Braces around anything that is no pair of these particles stay.
    #[must_use]
    pub fn resolve(&self, before: &str, text: &str) -> String {
        let mut out = before.to_owned();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            out.push_str(&rest[..open]);
            let found = rest[open..].find('}').and_then(|close| {
                let inside = &rest[open + 1..open + close];
                let pair = self
                    .pairs
                    .iter()
                    .find(|[a, b]| inside.split_once('/') == Some((a, b)))?;
                Some((pair, open + close + 1))
            });
            if let Some((pair, end)) = found {
                let form = self.choose(pair, &out).to_owned();
                out.push_str(&form);
                rest = &rest[end..];
            } else {
                out.push('{');
                rest = &rest[open + 1..];
            }
        }
        out.push_str(rest);
        out.split_off(before.len())
    }

    /// Words of `text` whose particle does not fit, as `word+particle`. Only particles that are
    /// never anything else are looked at (을/를 and 으로/로 after Hangul or digits), since a word
    /// may end in 은, 이 or 가 by itself.
    #[must_use]
    pub fn faults(&self, text: &str) -> Vec<String> {
        let sure = ["을", "를", "으로"];
        text.split_whitespace()
            .filter_map(|word| {
                let word = word.trim_end_matches(|c: char| !c.is_alphanumeric());
                sure.iter().find_map(|form| {
                    let stem = word.strip_suffix(form)?;
                    let pair = self.pairs.iter().find(|p| p.iter().any(|f| f == form))?;
                    let last = stem.chars().next_back()?;
                    if !(last.is_ascii_digit() || ('가'..='힣').contains(&last)) {
                        return None;
                    }
                    let ending = self.ending(stem)?;
                    (self.fitting(pair, ending) != *form).then(|| word.to_owned())
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::Transforms;

    fn particles() -> Particles {
        Transforms::built_in("ko-en")
            .expect("built in")
            .particles
            .expect("Korean has particles")
    }

    #[test]
    fn a_particle_follows_the_sound_before_it() {
        let particles = particles();
        for (before, after, expected) in [
            ("감소", "을 보였다", Some("를")),
            ("감소", "를 보였다", None),
            ("금융감독원장", "는 밝혔다", Some("은")),
            ("결의", "을 철회", Some("를")),
            // ㄹ takes 로, other consonants 으로.
            ("매출", "으로 보면", Some("로")),
            ("별도 기준", "로 보면", Some("으로")),
            ("서울", "로", None),
            ("서울", "와 부산", Some("과")),
            // 영 일 이 삼 사 오 육 칠 팔 구.
            ("3", "를", Some("을")),
            ("2", "을", Some("를")),
            ("1", "으로", Some("로")),
            ("3", "로", Some("으로")),
            ("10", "로", Some("으로")),
            ("1,000", "는", Some("은")),
            ("2.5", "은", Some("는")),
            ("0", "가", Some("이")),
            // 퍼센트 and 퍼센트포인트 end in a vowel.
            ("12%", "을 기록", Some("를")),
            ("0.25%p", "은", Some("는")),
            ("25bp", "을", Some("를")),
            // Letters read one by one, and words that are known.
            ("ETF", "을", Some("를")),
            ("LNG", "은", Some("는")),
            ("FTM", "는", Some("은")),
            ("URL", "으로", Some("로")),
            ("KOSDAQ", "는", Some("은")),
            // Nobody can tell how it is read.
            ("Apple", "은", None),
            // Past quotes and parentheses.
            ("'중립'", "를 유지", Some("을")),
            ("가람전자(005930)", "은", Some("는")),
            // No particle: the word goes on.
            ("감소", "이익", None),
            ("감소", "은행", None),
            ("감소", "가 있었다", None),
            ("감소", "이 있었다.", Some("가")),
            ("", "이 ", None),
        ] {
            let found = particles.mend(before, after).map(|(_, form)| form);
            assert_eq!(found, expected, "{before} + {after}");
        }
    }

    #[test]
    fn a_pair_in_braces_becomes_the_form_that_fits() {
        let particles = particles();
        for (text, expected) in [
            ("가람전자{은/는} 결의{을/를} 철회", "가람전자는 결의를 철회"),
            ("라온화학{은/는} 3%{으로/로}", "라온화학은 3%로"),
            ("{a} {을/이} {", "{a} {을/이} {"),
        ] {
            assert_eq!(particles.resolve("", text), expected);
        }
    }

    #[test]
    fn faults_are_found_where_a_particle_is_sure() {
        let particles = particles();
        assert_eq!(particles.faults("감소을 보였다"), ["감소을"]);
        assert_eq!(particles.faults("증가를, 기준로 기준를"), ["기준를"]);
        assert_eq!(
            particles.faults("은행을 통해 매출로 12%를"),
            Vec::<String>::new()
        );
    }
}
