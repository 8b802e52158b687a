//! Lines of a terminal as a picture.

use anstyle::Color;
use anstyle::RgbColor;
use anstyle_svg::Term;
use anstyle_svg::WIN10_CONSOLE;

const FOREGROUND: Color = Color::Rgb(RgbColor(0xe6, 0xe6, 0xe6));
const BACKGROUND: Color = Color::Rgb(RgbColor(0x16, 0x1b, 0x22));

/// A picture of a terminal with these lines, which may contain ANSI styles, as SVG.
#[must_use]
pub fn svg(lines: &[String]) -> String {
    let terminal = Term::new().palette(WIN10_CONSOLE).fg_color(FOREGROUND).bg_color(BACKGROUND);
    terminal.render_svg(&lines.join("\n"))
}
