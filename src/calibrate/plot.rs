//! The report as a picture: hits and wrong hits over the threshold, in SVG.

use std::fmt::Write as _;

use super::table::printable;
use super::tally::{DEFAULT, Figures, Report, Tally};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
/// Where the axes are.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 740.0;
const TOP: f64 = 84.0;
const BOTTOM: f64 = 400.0;
/// Blue and vermilion of Okabe and Ito, which nearly everybody can tell apart.
const HITS: &str = "#0072b2";
const WRONG: &str = "#d55e00";
/// The names of models may be long.
const NAME_MAX: usize = 60;

/// A share and its interval, if there was something to count.
type Read = fn(&Figures) -> Option<(f64, [f64; 2])>;

pub(super) fn draw(tally: &Tally, report: &Report) -> String {
    let from = report.thresholds.iter().map(|at| at.threshold).fold(0.7, f32::min).max(0.0);
    let from = (from * 10.0).floor() / 10.0;
    let x = |threshold: f32| LEFT + (RIGHT - LEFT) * f64::from((threshold - from) / (1.0 - from));
    let mut svg = frame(report);
    axes(&mut svg, from, &x);
    let right: Read = |figures| figures.right_rate.zip(figures.right_interval);
    let wrong: Read = |figures| figures.wrong_share.zip(figures.wrong_share_interval);
    for (set, style) in [("none", r#"stroke-width="1.2" stroke-dasharray="5 4""#), (DEFAULT, r#"stroke-width="2.2""#)] {
        let curve = tally.curve(set, from);
        for (read, colour) in [(right, HITS), (wrong, WRONG)] {
            let points: Vec<_> =
                curve.iter().filter_map(|(at, figures)| read(figures).map(|(share, of)| (x(*at), share, of))).collect();
            if set == DEFAULT {
                let there = points.iter().map(|(x, _, [_, to])| (*x, *to));
                let back = points.iter().rev().map(|(x, _, [from, _])| (*x, *from));
                let _ = writeln!(
                    svg,
                    r#"<polygon points="{}" fill="{colour}" fill-opacity="0.15"/>"#,
                    path(there.chain(back))
                );
            }
            let line = path(points.iter().map(|(x, share, _)| (*x, *share)));
            let _ = writeln!(svg, r#"<polyline points="{line}" fill="none" stroke="{colour}" {style}/>"#);
        }
    }
    wish(&mut svg, report, from, &x);
    svg += "</svg>\n";
    svg
}

/// The head of the file, the title and the legend.
fn frame(report: &Report) -> String {
    let name: String = printable(&report.model).chars().take(NAME_MAX).collect();
    let mut svg = format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="13" fill="#222222">
<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>
<text x="{LEFT}" y="26" font-size="16" font-weight="bold">{}: {} pairs that mean the same, {} that do not</text>
"##,
        escaped(&name),
        report.pairs.same,
        report.pairs.different,
    );
    for (at, (colour, words)) in
        [(HITS, "hits, of the pairs that mean the same"), (WRONG, "wrong hits, of all hits")].into_iter().enumerate()
    {
        let x = LEFT + 330.0 * at as f64;
        let _ =
            writeln!(svg, r#"<line x1="{x}" y1="46" x2="{}" y2="46" stroke="{colour}" stroke-width="2.2"/>"#, x + 26.0);
        let _ = writeln!(svg, r#"<text x="{}" y="50">{words}</text>"#, x + 32.0);
    }
    let note =
        "Solid: with the default guards, and where the true share is in 95 of 100 samples. Dashed: without guards.";
    let _ = writeln!(svg, r##"<text x="{LEFT}" y="70" font-size="12" fill="#555555">{note}</text>"##);
    svg
}

fn axes(svg: &mut String, from: f32, x: &impl Fn(f32) -> f64) {
    for tenth in (0..=10).step_by(2) {
        let share = f64::from(tenth) / 10.0;
        let _ =
            writeln!(svg, r##"<line x1="{LEFT}" y1="{0:.1}" x2="{RIGHT}" y2="{0:.1}" stroke="#dddddd"/>"##, y(share));
        let _ = writeln!(
            svg,
            r#"<text x="{}" y="{:.1}" text-anchor="end">{:.0} %</text>"#,
            LEFT - 8.0,
            y(share) + 4.5,
            share * 100.0
        );
    }
    for twentieth in 0..=20_u8 {
        let threshold = f32::from(twentieth) / 20.0;
        // Every second one where there is little room.
        if threshold >= from - 1e-3 && (from >= 0.5 || twentieth % 2 == 0) {
            let x = x(threshold);
            let _ = writeln!(
                svg,
                r##"<line x1="{x:.1}" y1="{BOTTOM}" x2="{x:.1}" y2="{}" stroke="#222222"/>"##,
                BOTTOM + 5.0
            );
            let _ =
                writeln!(svg, r#"<text x="{x:.1}" y="{}" text-anchor="middle">{threshold:.2}</text>"#, BOTTOM + 20.0);
        }
    }
    let _ = writeln!(svg, r##"<line x1="{LEFT}" y1="{BOTTOM}" x2="{RIGHT}" y2="{BOTTOM}" stroke="#222222"/>"##);
    let middle = f64::midpoint(LEFT, RIGHT);
    let _ = writeln!(
        svg,
        r#"<text x="{middle}" y="{}" text-anchor="middle">threshold (cosine similarity)</text>"#,
        BOTTOM + 42.0
    );
}

/// What was wished, and the threshold that does.
fn wish(svg: &mut String, report: &Report, from: f32, x: &impl Fn(f32) -> f64) {
    let Some(recommended) = &report.recommended else { return };
    let y = y(recommended.max_error);
    let grey = r##"stroke="#222222" stroke-dasharray="2 3""##;
    let _ = writeln!(svg, r#"<line x1="{LEFT}" y1="{y:.1}" x2="{RIGHT}" y2="{y:.1}" {grey}/>"#);
    let chosen = recommended.guards.iter().filter_map(|choice| Some((choice.figures.as_ref()?.set, choice.threshold?)));
    if let Some((_, threshold)) = chosen.into_iter().find(|(set, threshold)| *set == DEFAULT && *threshold >= from) {
        let x = x(threshold);
        let _ = writeln!(svg, r#"<line x1="{x:.1}" y1="{TOP}" x2="{x:.1}" y2="{BOTTOM}" {grey}/>"#);
        let (side, anchor) = if x > f64::midpoint(LEFT, RIGHT) { (-6.0, "end") } else { (6.0, "start") };
        let _ = writeln!(
            svg,
            r#"<text x="{:.1}" y="{}" text-anchor="{anchor}">{threshold:.3}</text>"#,
            x + side,
            TOP + 14.0
        );
    }
}

fn y(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    points.map(|(x, share)| format!("{x:.1},{:.1}", y(share))).collect::<Vec<_>>().join(" ")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
