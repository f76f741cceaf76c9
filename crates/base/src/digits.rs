//! Numbers of people that can be told from other numbers by their digits: card and registration numbers.

/// Whether 16 digits have the checksum of card numbers (Luhn, ISO/IEC 7812-1).
#[must_use]
pub fn is_card(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .zip(0..)
        .map(|(d, i)| {
            let d = u32::from(*d) * (1 + i % 2);
            if d > 9 { d - 9 } else { d }
        })
        .sum();
    digits.len() == 16 && sum.is_multiple_of(10)
}

/// Whether 13 digits begin with the year, month and day of a resident or foreigner registration number. Of the year two
/// digits are known, so February has 29 days.
#[must_use]
pub fn begins_with_day(digits: &[u8]) -> bool {
    if digits.len() != 13 {
        return false;
    }
    let two = |i: usize| digits[i] * 10 + digits[i + 1];
    let days = match two(2) {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=days).contains(&two(4))
}

/// Whether 13 digits have the checksum of registration numbers, which those given since October 2020 lack.
#[must_use]
pub fn is_registration(digits: &[u8]) -> bool {
    let [first @ .., last] = digits else {
        return false;
    };
    let weights = [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5];
    let weighted: u32 = first
        .iter()
        .zip(weights)
        .map(|(d, weight)| u32::from(*d) * weight)
        .sum();
    // That of a foreigner is larger by two.
    let of = if matches!(digits.get(6), Some(5..=8)) {
        13
    } else {
        11
    };
    digits.len() == 13 && (of - weighted % 11) % 10 == u32::from(*last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().map(|b| b - b'0').collect()
    }

    #[test]
    fn card_numbers_have_a_checksum() {
        for (number, expected) in [
            ("4111111111111111", true),
            ("4111111111111112", false),
            ("0000000000000000", true),
            ("411111111111111", false),
            ("", false),
        ] {
            assert_eq!(is_card(&digits(number)), expected, "{number}");
        }
    }

    #[test]
    fn registration_numbers_begin_with_a_day_and_may_have_a_checksum() {
        for (number, day, checksum) in [
            ("9001011234568", true, true),
            ("9001011234567", true, false),
            ("9001015234561", true, true),
            ("0002291234567", true, false),
            ("0002301234567", false, false),
            ("9913011234567", false, false),
            ("9000011234567", false, false),
            ("9004311234567", false, false),
            ("900101123456", false, false),
            ("", false, false),
        ] {
            let found = (
                begins_with_day(&digits(number)),
                is_registration(&digits(number)),
            );
            assert_eq!(found, (day, checksum), "{number}");
        }
    }
}
