//! Where the names of points go, so that none covers another.

use serde::Serialize;

use korfinsts_base::text::is_hangul;

/// Height of a line of text, in pixels.
const LINE: f64 = 15.0;
/// Half the size of a mark with the room around it, in pixels.
const MARK: f64 = 8.0;

/// A name next to a mark, in pixels from it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Label {
    /// To the right.
    pub dx: f64,
    /// Down, to the base of the letters.
    pub dy: f64,
    /// Which part of the name is there: empty for its start, `m` for its middle, `e` for its end.
    pub anchor: &'static str,
    /// Whether a line leads to it.
    pub far: bool,
}

/// A box: left, right, top, bottom.
type Area = [f64; 4];

fn overlap(a: &Area, b: &Area) -> bool {
    a[0] < b[1] && b[0] < a[1] && a[2] < b[3] && b[2] < a[3]
}

/// Width of a text of 12.5 pixels, rather too large.
fn width_of(text: &str) -> f64 {
    let width = |c: char| if is_hangul(c) { 12.5 } else { 7.0 };
    text.chars().map(width).sum()
}

/// A place for the name of each point: across in percent of `size[0]`, down in pixels of `size[1]`. `None`
/// where there is no room. Earlier points choose first.
pub(super) fn place(points: &[(f64, f64, &str)], size: [f64; 2]) -> Vec<Option<Label>> {
    let at = |x: f64| x / 100.0 * size[0];
    let marks = points.iter().map(|(x, y, _)| {
        let x = at(*x);
        [x - MARK, x + MARK, y - MARK, y + MARK]
    });
    let marks: Vec<Area> = marks.collect();
    let mut taken: Vec<Area> = Vec::new();
    let mut labels = Vec::new();
    for (own, (x, y, name)) in points.iter().enumerate() {
        let (x, width) = (at(*x), width_of(name));
        let found = candidates().find_map(|label| {
            let left = x + label.dx
                - match label.anchor {
                    "e" => width,
                    "m" => width / 2.0,
                    _ => 0.0,
                };
            let base = y + label.dy;
            let area = [left, left + width, base - LINE + 3.0, base + 3.0];
            let inside =
                area[0] >= 0.0 && area[1] <= size[0] && area[2] >= 0.0 && area[3] <= size[1];
            let others = marks.iter().enumerate().filter(|(i, _)| *i != own);
            let free = taken.iter().chain(others.map(|(_, mark)| mark));
            let free = free.into_iter().all(|other| !overlap(&area, other));
            (inside && free).then_some((label, area))
        });
        labels.push(found.map(|(label, area)| {
            taken.push(area);
            label
        }));
    }
    labels
}

/// Beside the mark, above, below, then farther away.
fn candidates() -> impl Iterator<Item = Label> {
    let near = [
        (10.0, 4.0, ""),
        (-10.0, 4.0, "e"),
        (0.0, -11.0, "m"),
        (0.0, 20.0, "m"),
    ];
    let far = (1..9).flat_map(|step| {
        let down = f64::from(step) * 14.0;
        [(14.0, ""), (-14.0, "e")]
            .into_iter()
            .flat_map(move |(dx, anchor)| [(dx, 4.0 - down, anchor), (dx, 4.0 + down, anchor)])
    });
    let near = near.into_iter().map(|place| (place, false));
    let all = near.chain(far.map(|place| (place, true)));
    all.map(|((dx, dy, anchor), far)| Label {
        dx,
        dy,
        anchor,
        far,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cover_neither_each_other_nor_a_mark() {
        let names: Vec<String> = (0..14).map(|i| format!("encoder-number-{i}")).collect();
        // Fourteen marks in a small corner, on the width of a desk and of a phone.
        let points: Vec<(f64, f64, &str)> = names
            .iter()
            .enumerate()
            .map(|(i, n)| {
                (
                    40.0 + (i % 5) as f64 * 4.0,
                    120.0 + (i / 5) as f64 * 40.0,
                    &**n,
                )
            })
            .collect();
        for (width, least) in [(860.0, 14), (340.0, 6)] {
            let labels = place(&points, [width, 400.0]);
            let areas: Vec<Area> = labels
                .iter()
                .zip(&points)
                .filter_map(|(label, (x, y, name))| {
                    let label = label.as_ref()?;
                    let long = width_of(name);
                    let left = x / 100.0 * width + label.dx
                        - match label.anchor {
                            "e" => long,
                            "m" => long / 2.0,
                            _ => 0.0,
                        };
                    Some([left, left + long, y + label.dy - 12.0, y + label.dy + 3.0])
                })
                .collect();
            assert!(areas.len() >= least, "{} of 14 on {width}", areas.len());
            for (i, a) in areas.iter().enumerate() {
                assert!(a[0] >= 0.0 && a[1] <= width);
                assert!(areas[i + 1..].iter().all(|b| !overlap(a, b)));
            }
        }
        assert_eq!(
            place(&[(50.0, 50.0, "a")], [300.0, 100.0])[0]
                .as_ref()
                .map(|l| l.dx),
            Some(10.0)
        );
    }
}
