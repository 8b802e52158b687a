//! A line chart as SVG: linear axes from zero, a legend, and a caption below.

use std::fmt::Write as _;

/// A line chart.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The title.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines.
    pub series: Vec<Series>,
    /// The lines of text below.
    pub caption: Vec<String>,
}

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows.
    pub name: String,
}

/// A line.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// The part of an axis that is drawn: from zero to `end`, with a tick at every multiple of `step`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    end: f64,
    step: f64,
}

const WIDTH: f64 = 740.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 700.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 350.0;
const LINE_HEIGHT: f64 = 16.0;
/// The number of steps of an axis, at most.
const STEPS: f64 = 8.0;
/// Colours that most people distinguish, also with impaired colour vision (Okabe and Ito).
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

// === impl Chart ===

impl Chart {
    /// The chart as an SVG document.
    pub fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Range::of(points().map(|(x, _)| *x));
        let y = Range::of(points().map(|(_, y)| *y));
        let lines = self.series.len().max(1) + self.caption.len();
        let height = BOTTOM + 60.0 + LINE_HEIGHT * f64::from(u32::try_from(lines).unwrap_or(1));
        let mut svg = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>"
        );
        svg += &text((LEFT, 28.0), "start", "font-size=\"16\"", &self.title);
        svg += &axes(x, y, &self.x, &self.y);
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            svg += &series.svg(x, y, colour);
        }
        svg += &self.below();
        svg + "</svg>\n"
    }

    /// The legend and the caption.
    fn below(&self) -> String {
        let mut at = BOTTOM + 62.0;
        let mut svg = String::new();
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let y = at - 4.0;
            let end = LEFT + 24.0;
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {y}H{end}\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
            svg += &text((LEFT + 32.0, at), "start", "", &series.name);
            at += LINE_HEIGHT;
        }
        for line in &self.caption {
            svg += &text((LEFT, at), "start", "fill=\"#555\"", line);
            at += LINE_HEIGHT;
        }
        svg
    }
}

// === impl Series ===

impl Series {
    fn svg(&self, x: Range, y: Range, colour: &str) -> String {
        let at = |(px, py): &(f64, f64)| (x.between(*px, LEFT, RIGHT), y.between(*py, BOTTOM, TOP));
        let points: Vec<_> = self.points.iter().map(at).collect();
        let line: Vec<_> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let mut svg = format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            line.join(" ")
        );
        for (x, y) in points {
            let _ =
                writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>");
        }
        svg
    }
}

// === impl Range ===

impl Range {
    /// The range of these values, which are not negative.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let greatest = values.fold(0.0, f64::max);
        let greatest = if greatest > 0.0 { greatest } else { 1.0 };
        let magnitude = 10_f64.powf((greatest / STEPS).log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude);
        let step = steps.into_iter().find(|step| step * STEPS >= greatest).unwrap_or(greatest);
        Self { end: (greatest / step).ceil() * step, step }
    }

    fn ticks(self) -> impl Iterator<Item = f64> {
        (0..=20).map(move |number| f64::from(number) * self.step).take_while(move |tick| {
            // The greatest tick may differ from the end by a rounding error.
            *tick <= self.end + self.step / 2.0
        })
    }

    /// Where `value` is between `from`, the place of zero, and `to`, that of the end.
    fn between(self, value: f64, from: f64, to: f64) -> f64 {
        from + (to - from) * value / self.end
    }
}

fn axes(x: Range, y: Range, x_axis: &Axis, y_axis: &Axis) -> String {
    let mut svg = String::new();
    for tick in y.ticks() {
        let at = y.between(tick, BOTTOM, TOP);
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>");
        svg += &text((LEFT - 8.0, at + 4.0), "end", "", &number(tick));
    }
    for tick in x.ticks() {
        let at = x.between(tick, LEFT, RIGHT);
        let _ = writeln!(svg, "<path d=\"M{at:.1} {BOTTOM}v5\" stroke=\"black\"/>");
        svg += &text((at, BOTTOM + 18.0), "middle", "", &number(tick));
    }
    let _ = writeln!(
        svg,
        "<path d=\"M{LEFT} {TOP}V{BOTTOM}H{RIGHT}\" fill=\"none\" stroke=\"black\"/>"
    );
    svg += &text((RIGHT, BOTTOM + 36.0), "end", "", &x_axis.name);
    svg + &text((LEFT + 6.0, TOP - 6.0), "start", "", &y_axis.name)
}

fn text((x, y): (f64, f64), anchor: &str, style: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {style}>{text}</text>\n")
}

/// With as many decimals as necessary, and a comma between thousands.
fn number(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let groups: Vec<_> = whole.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    let whole = groups.join(",");
    if fraction.is_empty() { whole } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_ticks_and_contains_all_values() {
        for greatest in [0.03, 0.9, 1.0, 7.0, 63.5, 100.0, 20_000.0, 100_001.0] {
            let range = Range::of([greatest, 0.0].into_iter());
            assert!(range.end >= greatest && range.end < greatest + range.step, "{range:?}");
            let ticks: Vec<_> = range.ticks().collect();
            assert!((4..=9).contains(&ticks.len()), "{greatest}: {ticks:?}");
        }
        assert_eq!(Range::of([100_000.0].into_iter()), Range { end: 100_000.0, step: 20_000.0 });
        assert!(Range::of([].into_iter()).end > 0.0);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(number(100_000.0), "100,000");
        assert_eq!(number(0.1 + 0.2), "0.3");
        assert_eq!(number(0.0), "0");
    }

    #[test]
    fn a_chart_names_its_lines_and_escapes_texts() {
        let axis = |name: &str| Axis { name: name.to_owned() };
        let series = Series { name: "a < b".to_owned(), points: vec![(0.0, 0.0), (10.0, 4.0)] };
        let caption = vec!["machine & versions".to_owned()];
        let (x, y) = (axis("copies"), axis("MiB"));
        let svg = Chart { title: "Memory".to_owned(), x, y, series: vec![series], caption }.svg();
        for part in ["Memory", "a &lt; b", "machine &amp; versions", "copies", "MiB"] {
            assert!(svg.contains(part), "{part}: {svg}");
        }
        assert!(svg.contains("points=\"70.0,350.0 700.0,50.0\""), "{svg}");
    }
}
