//! The figures as a drawing: what the server has to do, by the number of processes. Both axes are logarithmic.

use std::fmt::Write;

use super::report::Row;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
/// Left, top, right and bottom of what is drawn in.
const FIELD: [f64; 4] = [70.0, 40.0, 440.0, 360.0];

/// What is drawn of a scene: its name there, and the figure.
type Line = (&'static str, &'static str, &'static str, fn(&Row) -> f64);

const LINES: [Line; 4] = [
    ("1,000 keys", "20 of 1,000 keys each: a second, while all wait", "#7b3294", |row| row.waiting),
    ("hot key", "one key: a second, while all wait", "#0571b0", |row| row.waiting),
    ("hot key", "one key: in 20 ms, when it is there", "#008837", |row| row.peak as f64),
    ("leader killed", "one key: in 20 ms, when the lease runs out", "#ca0020", |row| row.peak as f64),
];

pub(crate) fn draw(rows: &[Row]) -> String {
    let [left, top, right, bottom] = FIELD;
    let all: Vec<(f64, f64)> = LINES.iter().flat_map(|line| points(line, rows)).collect();
    let nodes = span(all.iter().map(|(nodes, _)| *nodes));
    let loads = span(all.iter().map(|(_, load)| *load));
    let x = |nodes_at: f64| left + (nodes_at.log10() - nodes.0) / (nodes.1 - nodes.0) * (right - left);
    let y = |load: f64| bottom - (load.log10() - loads.0) / (loads.1 - loads.0) * (bottom - top);
    let mut svg = String::new();
    let mut say = |text: &str| {
        svg.push_str(text);
        svg.push('\n');
    };
    say(&format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
    ));
    say(&format!(r#"<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>"#));
    say(&format!(r#"<text x="{left}" y="22" font-size="14">commands that the server does</text>"#));
    say(&format!(
        r#"<text x="{:.0}" y="{:.0}" text-anchor="middle">processes</text>"#,
        f64::midpoint(left, right),
        bottom + 40.0
    ));
    for decade in decades(nodes) {
        let at = x(10_f64.powi(decade));
        say(&format!(r##"<path d="M{at:.1} {top}V{bottom}" stroke="#ddd"/>"##));
        say(&format!(r#"<text x="{at:.1}" y="{:.0}" text-anchor="middle">{}</text>"#, bottom + 18.0, number(decade)));
    }
    for decade in decades(loads) {
        let at = y(10_f64.powi(decade));
        say(&format!(r##"<path d="M{left} {at:.1}H{right}" stroke="#ddd"/>"##));
        say(&format!(r#"<text x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"#, left - 8.0, at + 4.0, number(decade)));
    }
    for (at, line) in LINES.iter().enumerate() {
        let (_, label, colour, _) = line;
        let mut path = String::new();
        for (nodes, load) in points(line, rows) {
            let (x, y) = (x(nodes), y(load));
            let _ = write!(path, "{}{x:.1} {y:.1}", if path.is_empty() { "M" } else { "L" });
            say(&format!(r#"<circle cx="{x:.1}" cy="{y:.1}" r="3" fill="{colour}"/>"#));
        }
        say(&format!(r#"<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"/>"#));
        let line_at = top + 20.0 + 24.0 * at as f64;
        say(&format!(r#"<path d="M{:.0} {:.1}h20" stroke="{colour}" stroke-width="2"/>"#, right + 14.0, line_at - 4.0));
        say(&format!(r#"<text x="{:.0}" y="{line_at:.1}" font-size="10.5">{label}</text>"#, right + 40.0));
    }
    say("</svg>");
    svg
}

fn points((scene, _, _, figure): &Line, rows: &[Row]) -> Vec<(f64, f64)> {
    let of_scene = rows.iter().filter(|row| row.scene == *scene);
    of_scene.map(|row| (row.nodes as f64, figure(row).max(1.0))).collect()
}

/// The decades around some numbers, as exponents of ten.
fn span(numbers: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let least = numbers.clone().fold(f64::INFINITY, f64::min).max(1.0).log10().floor();
    let most = numbers.fold(1.0, f64::max).log10().ceil();
    (least, most.max(least + 1.0))
}

#[expect(clippy::cast_possible_truncation, reason = "exponents of ten")]
fn decades((from, until): (f64, f64)) -> std::ops::RangeInclusive<i32> {
    from as i32..=until as i32
}

/// `10000` as `10,000`.
fn number(decade: i32) -> String {
    let digits = 10_u64.pow(decade.unsigned_abs()).to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
