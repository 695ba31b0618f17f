//! Draws the figures as bar charts. The scale is logarithmic, because the figures differ by powers of ten.

use std::path::Path;

use plotters::prelude::*;

use crate::contender::{Function, Kind};
use crate::report::Row;

const WIDTH: u32 = 900;
const LEFT: i32 = 150;
const RIGHT: i32 = 90;
const TOP: i32 = 50;
const BAR: i32 = 16;
const GAP: i32 = 14;

/// One chart: its file name, its title, and the figure it shows.
type Chart = (&'static str, &'static str, fn(&Row) -> f64);

const CHARTS: [Chart; 4] = [
    ("init.svg", "Cold start: process start to the first request for an event, ms (logarithmic)", |row| row.init_ms),
    ("cpu.svg", "Processor time of a warm event, µs (logarithmic)", |row| row.cpu_us),
    ("memory.svg", "Peak memory, MB (logarithmic)", |row| row.peak_memory_mb),
    ("size.svg", "Artifact to upload, zipped, MB (logarithmic)", |row| row.zipped_mb),
];

/// Draws all charts into `folder`.
pub fn draw(folder: &Path, rows: &[Row]) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for (file, title, figure) in CHARTS {
        let path = folder.join(file);
        bars(&path, title, &groups(rows, figure)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Bars that belong together: the group's name, and the contender and figure of each bar.
type Group = (&'static str, Vec<(Kind, f64)>);

fn groups(rows: &[Row], figure: fn(&Row) -> f64) -> Vec<Group> {
    let is_floor = |row: &&Row| row.kind.is_floor();
    let mut groups: Vec<Group> = Function::ALL
        .into_iter()
        .map(|function| {
            let of_function = rows.iter().filter(|row| row.function == function && !is_floor(row));
            (function.name(), of_function.map(|row| (row.kind, figure(row))).collect())
        })
        .collect();
    groups.push(("floor", rows.iter().filter(is_floor).map(|row| (row.kind, figure(row))).collect()));
    groups.retain(|(_, bars)| !bars.is_empty());
    groups
}

const fn color(kind: Kind) -> RGBColor {
    match kind {
        Kind::Ours => RGBColor(0xd9, 0x5f, 0x02),
        Kind::Python => RGBColor(0x75, 0x70, 0xb3),
        Kind::Node => RGBColor(0x1b, 0x9e, 0x77),
        Kind::Bare | Kind::RawHttp => RGBColor(0x88, 0x88, 0x88),
    }
}

fn bars(path: &Path, title: &str, groups: &[Group]) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let count: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let spread = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let height = TOP + BAR * spread(count) + GAP * spread(groups.len()) + 10;
    let figures = || groups.iter().flat_map(|(_, bars)| bars.iter().map(|(_, figure)| *figure));
    let least = figures().fold(f64::INFINITY, f64::min) / 2.0;
    let most = figures().fold(0.0, f64::max);
    let room = f64::from(i32::try_from(WIDTH).unwrap_or(i32::MAX) - LEFT - RIGHT);
    #[allow(clippy::cast_possible_truncation, reason = "a position in the chart")]
    let length = |figure: f64| ((figure / least).ln() / (most / least).ln() * room) as i32;
    let area = SVGBackend::new(path, (WIDTH, u32::try_from(height).unwrap_or(WIDTH))).into_drawing_area();
    area.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    area.draw(&Text::new(title.to_owned(), (LEFT, 16), text(17)))?;
    let mut y = TOP;
    for (name, bars) in groups {
        area.draw(&Text::new((*name).to_owned(), (10, y + 3), text(13)))?;
        for (kind, figure) in bars {
            let end = LEFT + length(*figure);
            area.draw(&Rectangle::new([(LEFT, y), (end, y + BAR - 3)], color(*kind).filled()))?;
            let shown = if *figure < 10.0 { format!("{figure:.1}") } else { format!("{figure:.0}") };
            area.draw(&Text::new(format!("{shown}  {}", kind.name()), (end + 6, y + 1), text(12)))?;
            y += BAR;
        }
        y += GAP;
    }
    area.present()
}
