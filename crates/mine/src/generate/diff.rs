//! Which words of a text another one changed.

/// Longest pair of texts, in words times words, that is compared word by word; beyond it one range
/// from the first to the last difference is given.
const MOST_CELLS: usize = 16_000_000;

/// Byte ranges of `text` that are not in `other`, by words, in order; where words were only
/// added the range is empty and is where they would be.
#[must_use]
pub fn changed(text: &str, other: &str) -> Vec<[usize; 2]> {
    let (a, b) = (words(text), words(other));
    let same = |i: usize, j: usize| text[a[i].0..a[i].1] == other[b[j].0..b[j].1];
    let head = (0..a.len().min(b.len()))
        .take_while(|i| same(*i, *i))
        .count();
    let most = a.len().min(b.len()) - head;
    let tail = (0..most)
        .take_while(|i| same(a.len() - 1 - i, b.len() - 1 - i))
        .count();
    let (inner_a, inner_b) = (a.len() - head - tail, b.len() - head - tail);
    if inner_a == 0 && inner_b == 0 {
        return Vec::new();
    }
    let kept = if inner_a * inner_b > MOST_CELLS {
        vec![false; inner_a]
    } else {
        common(inner_a, inner_b, |i, j| same(head + i, head + j))
    };
    let mut found: Vec<[usize; 2]> = Vec::new();
    let mut last_kept = true;
    for (i, kept) in kept.iter().enumerate() {
        let (start, end) = a[head + i];
        if !*kept {
            match found.last_mut().filter(|_| !last_kept) {
                Some(range) => range[1] = end,
                None => found.push([start, end]),
            }
        }
        last_kept = *kept;
    }
    if found.is_empty() {
        // Words were added between those that stayed.
        let at = a.get(head).map_or(text.len(), |w| w.0);
        found.push([at, at]);
    }
    found
}

/// Which of the first `n` items are in a longest common subsequence.
fn common(n: usize, m: usize, same: impl Fn(usize, usize) -> bool) -> Vec<bool> {
    let width = m + 1;
    let mut table = vec![0_u32; (n + 1) * width];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            table[i * width + j] = if same(i, j) {
                table[(i + 1) * width + j + 1] + 1
            } else {
                table[(i + 1) * width + j].max(table[i * width + j + 1])
            };
        }
    }
    let mut kept = vec![false; n];
    let (mut i, mut j) = (0, 0);
    while i < n && j < m {
        if same(i, j) {
            kept[i] = true;
            i += 1;
            j += 1;
        } else if table[(i + 1) * width + j] >= table[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    kept
}

fn words(text: &str) -> Vec<(usize, usize)> {
    text.split_whitespace()
        .map(|w| {
            let start = w.as_ptr() as usize - text.as_ptr() as usize;
            (start, start + w.len())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changed_words_are_found() {
        for (text, other, expected) in [
            ("a b c", "a x c", vec!["b"]),
            ("a b c", "a b c", vec![]),
            ("a b c d e", "a x c y e", vec!["b", "d"]),
            ("a b c d", "x y c d", vec!["a b"]),
            ("a b", "a b c", vec![""]),
            ("a b c", "a c", vec!["b"]),
            (
                "이익이 증가했다. 끝",
                "이익이 감소했다. 끝",
                vec!["증가했다."],
            ),
        ] {
            let found: Vec<&str> = changed(text, other)
                .into_iter()
                .map(|[s, e]| &text[s..e])
                .collect();
            assert_eq!(found, expected, "{text} | {other}");
        }
        assert_eq!(changed("a b", "a b c"), [[3, 3]]);
    }
}
