//! What a page is sent without: the white space that indents its template, and end tags and quotes
//! that HTML does not need. A browser makes the same document of it.
//!
//! Values are escaped before they come here, so every `<` and `"` is the template's own.

/// A style or a script without indentation, empty lines, and comments on lines of their own.
pub(super) fn code(text: &str) -> String {
    let comment = |l: &&str| l.starts_with("//") || (l.starts_with("/*") && l.ends_with("*/"));
    lines(text.lines().map(str::trim).filter(|l| !comment(l)))
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let full = lines.filter(|l| !l.is_empty());
    full.flat_map(|l| [l, "\n"]).collect()
}

/// End tags that the next tag implies (HTML, section 13.1.2.4) in tables, lists and choices.
const IMPLIED: [&str; 7] = [
    "</td>",
    "</th>",
    "</tr>",
    "</li>",
    "</option>",
    "</dt>",
    "</dd>",
];

/// Elements whose content is no markup, and their ends.
const RAW: [(&str, &str); 2] = [("<script", "</script>"), ("<style", "</style>")];

/// A rendered page.
pub(super) fn page(text: &str) -> String {
    let text = lines(text.lines().map(str::trim));
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find('<') {
        // Where no tag can start, a slash needs no escape.
        out.push_str(&rest[..at].replace("&#x2f;", "/"));
        let (tag, after) = rest[at..].split_at(tag_length(&rest[at..]));
        rest = after;
        if IMPLIED.contains(&tag) {
            // It would become part of the cell.
            rest = rest.trim_start();
            continue;
        }
        unquoted(tag, &mut out);
        if let Some((_, end)) = RAW.iter().find(|(start, _)| tag.starts_with(start)) {
            let (content, after) = rest.split_at(rest.find(end).unwrap_or(rest.len()));
            out.push_str(content);
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Bytes of the tag that `text` starts with: up to the first `>` outside quotes.
fn tag_length(text: &str) -> usize {
    let mut quoted = false;
    let end = text.bytes().position(|byte| {
        quoted ^= byte == b'"';
        byte == b'>' && !quoted
    });
    end.map_or(text.len(), |at| at + 1)
}

/// The tag with quotes around those values alone that need them (HTML, section 13.1.2.3).
fn unquoted(tag: &str, out: &mut String) {
    let needs = |value: &str| {
        value.is_empty()
            || value.contains(|c: char| c.is_ascii_whitespace() || "\"'=<>`".contains(c))
    };
    let mut rest = tag;
    while let Some((before, (value, after))) = rest
        .split_once("=\"")
        .and_then(|(before, value)| Some((before, value.split_once('"')?)))
    {
        out.push_str(before);
        let value = value.replace("&#x2f;", "/");
        if needs(&value) {
            out.extend(["=\"", &value, "\""]);
        } else {
            out.extend(["=", &value]);
            if after.starts_with('/') {
                // Else the slash that ends the tag would end the value.
                out.push(' ');
            }
        }
        rest = after;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_loses_what_a_browser_adds() {
        for (before, after) in [
            (
                "<tr class=\"a b\">\n  <th scope=\"row\">x</th><td>1</td>\n  <td class=\"n\">2</td>\n</tr>\n</table> y",
                "<tr class=\"a b\">\n<th scope=row>x<td>1<td class=n>2</table> y\n",
            ),
            ("<circle cx=\"1\" cy=\"2\"/>", "<circle cx=1 cy=2 />\n"),
            ("<rect x=\"1\" d=\"a b\"/>", "<rect x=1 d=\"a b\"/>\n"),
            (
                "<i title=\"\">a</i> <b>c</b>",
                "<i title=\"\">a</i> <b>c</b>\n",
            ),
            (
                "<a href=\"https:&#x2f;&#x2f;x&#x2f;\">a &#x2f; b</a>",
                "<a href=https://x/>a / b</a>\n",
            ),
            (
                "<meta content=\"default-src 'none'; a=b\"><i t=\"a>b\">c",
                "<meta content=\"default-src 'none'; a=b\"><i t=\"a>b\">c\n",
            ),
            (
                "<script>if (a < b && c=\"d\") '</td>';</script><td>",
                "<script>if (a < b && c=\"d\") '</td>';</script><td>\n",
            ),
            (
                "<style>a[b=\"c\"]{}</style>",
                "<style>a[b=\"c\"]{}</style>\n",
            ),
            ("// no comment", "// no comment\n"),
            ("a < b", "a < b\n"),
        ] {
            assert_eq!(page(before), after);
        }
    }

    #[test]
    fn escaped_values_stay_values() {
        // What minijinja makes of `"><script>` and of `x/ onload=1`.
        let page = page(
            "<td title=\"&quot;&gt;&lt;script&gt;\">&lt;&#x2f;td&gt;</td><td id=\"x&#x2f; onload=1\">",
        );
        assert_eq!(
            page,
            "<td title=&quot;&gt;&lt;script&gt;>&lt;/td&gt;<td id=\"x/ onload=1\">\n"
        );
    }

    #[test]
    fn code_loses_comments_on_lines_of_their_own() {
        let text = "  a {\n\n // x\n /* y */\n b: 'http://z'; // w\n}";
        assert_eq!(code(text), "a {\nb: 'http://z'; // w\n}\n");
    }
}
