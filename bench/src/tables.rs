//! Prints the figures as tables on the terminal and in the README.

use std::fs;
use std::path::Path;

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, Table, TableStyle};

use crate::report::{Report, Row};

/// The README holds the tables between this line and `END`.
const BEGIN: &str = "<!-- Written by `make bench`. -->\n";
const END: &str = "<!-- Until here. -->\n";

/// All tables, formatted for the terminal.
pub fn for_terminal(report: &Report) -> String {
    all(report, UTF8_FULL_CONDENSED)
}

/// Replaces the tables in the README.
pub fn into_readme(report: &Report, path: &Path) -> Result<(), String> {
    let problem = |problem: String| format!("{}: {problem}", path.display());
    let readme = fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    let parts = readme.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| problem(format!("the lines {BEGIN} and {END} are missing")))?;
    let readme = format!("{before}{BEGIN}\n{}\n{END}{after}", all(report, ASCII_MARKDOWN));
    fs::write(path, readme).map_err(|error| problem(error.to_string()))
}

fn all(report: &Report, style: TableStyle) -> String {
    let machine = |name| report.machine.get(name).map_or("", String::as_str);
    let version = |name| report.versions.get(name).map_or("", String::as_str);
    let through = &report.throughput;
    format!(
        "Measured on {} ({} cores of an {}; {}, {}, Node.js {}): {} cold starts and {} warm events each, interleaved.\n\n\
         {}\n\n\
         Ratios of the peers to our functions, and of our functions to the floor:\n\n{}\n\n\
         Targets and results:\n\n{}\n\n\
         Single computations:\n\n{}\n\n\
         Throughput of {} notifications through endpoint, dispatch and call in one process, including DynamoDB, SQS \
         and TOP: {:.0} a second, {:.0} for each second of processor time.\n\n\
         Cost of a million notifications with one call each, at the prices of {} (us-east-1, without a free \
         tier):\n\n{}\n",
        report.measured_at,
        machine("cores"),
        machine("processor"),
        version("rustc").split(" (").next().unwrap_or_default(),
        version("python"),
        version("node"),
        report.amount.cold,
        report.amount.warm,
        figures(&report.contenders, style),
        ratios(report, style),
        targets(report, style),
        computations(report, style),
        through.notifications,
        through.notifications_per_second,
        through.per_core,
        report.prices_of,
        costs(report, style),
    )
}

fn figures(rows: &[Row], style: TableStyle) -> Table {
    let header =
        ["", "init ms", "first ms", "p50 ms", "p99 ms", "CPU µs", "peak MB", "zipped MB", "requests: AWS + TOP"];
    let mut table = table(&header, style);
    for row in rows {
        table.add_row([
            row.name.clone(),
            format!("{:.1}", row.init_ms),
            format!("{:.1}", row.first_ms),
            format!("{:.2}", row.warm_p50_ms),
            format!("{:.1}", row.warm_p99_ms),
            format!("{:.0}", row.cpu_us),
            format!("{:.1}", row.peak_memory_mb),
            format!("{:.2}", row.zipped_mb),
            format!("{:.0} + {:.0}", row.aws_requests(), row.requests.get("top").unwrap_or(&0.0)),
        ]);
    }
    table
}

fn ratios(report: &Report, style: TableStyle) -> Table {
    let mut table = table(&["", "relative to", "init", "first", "p50", "p99", "CPU", "memory", "zipped"], style);
    for ratios in &report.ratios {
        let ratio = |ratio: f64| if ratio < 10.0 { format!("{ratio:.1}") } else { format!("{ratio:.0}") };
        table.add_row([
            ratios.of.clone(),
            ratios.to.clone(),
            ratio(ratios.init),
            ratio(ratios.first),
            ratio(ratios.warm_p50),
            ratio(ratios.warm_p99),
            ratio(ratios.cpu),
            ratio(ratios.peak_memory),
            ratio(ratios.zipped),
        ]);
    }
    table
}

fn targets(report: &Report, style: TableStyle) -> Table {
    let mut table = table(&["", "target", "measured", "met"], style);
    for target in &report.targets {
        let met = if target.met { "yes" } else { "no" };
        table.add_row([&target.what, target.target, &format!("{:.2}", target.measured), met]);
    }
    table
}

fn computations(report: &Report, style: TableStyle) -> Table {
    let mut table = table(&["", "ns"], style);
    for (name, nanoseconds) in &report.micro_ns {
        table.add_row([name, &format!("{nanoseconds:.0}")]);
    }
    table
}

fn costs(report: &Report, style: TableStyle) -> Table {
    let header = ["", "AWS requests", "GB-s", "Lambda", "DynamoDB", "SQS", "API Gateway", "total"];
    let mut table = table(&header, style);
    for cost in &report.cost {
        let [lambda, dynamodb, sqs, api, total] =
            [cost.lambda, cost.dynamodb, cost.sqs, cost.api, cost.total].map(|dollars| format!("${dollars:.2}"));
        let requests = format!("{:.0} M", cost.aws_requests / 1e6);
        let gb_seconds = format!("{:.0}", cost.gb_seconds);
        table.add_row([cost.kind.name().to_owned(), requests, gb_seconds, lambda, dynamodb, sqs, api, total]);
    }
    table
}

fn table(header: &[&str], style: TableStyle) -> Table {
    let mut table = Table::new();
    table.load_style(style).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
