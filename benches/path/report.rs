//! Figures, as a table and as JSON.

use serde_json::{Value, json};

/// One figure beside what it should be.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The bound that must hold, and the one that is aimed at, in the same unit; none for a figure that stands for itself.
    pub(crate) bounds: Option<Bounds>,
}

/// Which side of a bound is good.
#[derive(Clone, Copy)]
pub(crate) enum Bounds {
    AtLeast { floor: f64, aim: f64 },
    AtMost { floor: f64, aim: f64 },
}

impl Bounds {
    fn judge(self, value: f64) -> &'static str {
        let (floor, aim) = match self {
            Self::AtLeast { floor, aim } => (value >= floor, value >= aim),
            Self::AtMost { floor, aim } => (value <= floor, value <= aim),
        };
        match (floor, aim) {
            (_, true) => "aim",
            (true, false) => "floor",
            (false, false) => "MISSED",
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast { floor, aim } => format!(">= {floor} ({aim})"),
            Self::AtMost { floor, aim } => format!("<= {floor} ({aim})"),
        }
    }
}

/// The figures of one run.
#[derive(Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

impl Report {
    /// Adds a figure that has bounds, and says it.
    pub(crate) fn bounded(&mut self, what: &str, value: f64, unit: &'static str, bounds: Bounds) {
        self.add(Figure { what: what.to_owned(), value, unit, bounds: Some(bounds) });
    }

    /// Adds a figure that stands for itself, and says it.
    pub(crate) fn plain(&mut self, what: &str, value: f64, unit: &'static str) {
        self.add(Figure { what: what.to_owned(), value, unit, bounds: None });
    }

    fn add(&mut self, figure: Figure) {
        println!("  {}: {:.3} {}", figure.what, figure.value, figure.unit);
        self.figures.push(figure);
    }

    /// Prints the table.
    pub(crate) fn print(&self) {
        println!("\n| what | measured | floor (aim) | met |\n|---|---|---|---|");
        for figure in &self.figures {
            let bounds = figure.bounds.map(Bounds::text).unwrap_or_default();
            let met = figure.bounds.map_or("", |bounds| bounds.judge(figure.value));
            println!("| {} | {:.3} {} | {bounds} | {met} |", figure.what, figure.value, figure.unit);
        }
    }

    /// As JSON.
    pub(crate) fn to_json(&self) -> Value {
        let figure = |figure: &Figure| {
            let met = figure.bounds.map(|bounds| bounds.judge(figure.value));
            json!({"what": figure.what, "value": figure.value, "unit": figure.unit, "met": met})
        };
        json!(self.figures.iter().map(figure).collect::<Vec<_>>())
    }
}

/// The middle one; the lower of two.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2]
}
