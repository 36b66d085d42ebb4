//! A line chart as SVG without script.

use std::fmt::Write as _;

/// The size of a chart in its own units. The page scales it.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 90.0;

/// The space above the line, so that the highest value does not touch the edge.
const MARGIN: f64 = 6.0;

/// Draws values at equal distances, the latest at the right edge. The whole width is `most` values. `summary` is the text
/// for users who do not see the chart; it must not contain markup.
pub(crate) fn svg(values: &[f64], most: usize, summary: &str) -> String {
    let highest = values.iter().copied().fold(0.0, f64::max);
    let step = WIDTH / (most.saturating_sub(1).max(1)) as f64;
    let points = values.iter().rev().take(most).enumerate().map(|(back, value)| {
        let share = if highest > 0.0 { value / highest } else { 0.0 };
        (WIDTH - back as f64 * step, HEIGHT - share * (HEIGHT - MARGIN))
    });
    let mut line = String::new();
    let (mut left, mut first) = (WIDTH, HEIGHT);
    for (x, y) in points {
        let _ = write!(line, "{x:.1},{y:.1} ");
        (left, first) = (x, y);
    }
    // A single value is drawn as a short row.
    if values.len() == 1 {
        left = WIDTH - step;
        let _ = write!(line, "{left:.1},{first:.1} ");
    }
    let area = format!("{line}{left:.1},{HEIGHT} {WIDTH},{HEIGHT}");
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{summary}\" preserveAspectRatio=\"none\">\
         <polygon class=\"area\" points=\"{area}\"/><polyline class=\"line\" points=\"{}\"/></svg>",
        line.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_value_is_at_the_right_edge() {
        let chart = svg(&[0.0, 5.0, 10.0], 3, "three values");
        assert!(chart.contains("points=\"360.0,6.0 180.0,48.0 0.0,90.0\""), "{chart}");
        assert!(chart.contains("aria-label=\"three values\""));
    }

    #[test]
    fn few_values_and_zeros_are_drawn_too() {
        assert!(svg(&[0.0], 3, "").contains("360.0,90.0 180.0,90.0"));
        assert!(svg(&[], 3, "").contains("points=\"\""));
        assert!(svg(&[1.0; 400], 360, "").matches(",6.0").count() == 720);
    }
}
