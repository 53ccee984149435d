//! A graph as a picture: entities as boxes, relations as arrows, what is known of an entity as its tooltip.
//!
//! The layout is the same for the same graph, without chance: entities begin on a spiral, push each other away and are drawn
//! together by relations, while the steps become smaller (Fruchterman and Reingold, 1991).

use std::fmt::Write as _;

use super::Graph;
use super::drawing::counted;
use crate::domain::text::shortened;

/// Characters of a label; the tooltip has all of it.
const LABEL: usize = 28;
/// Pairs of entities that are looked at in all: what bounds the time, a second or so.
const PAIRS: usize = 60_000_000;
/// Width of a character in a label, and height of a box.
const CHARACTER: f64 = 7.2;
const HEIGHT: f64 = 26.0;
/// The room that one entity has.
const ROOM: f64 = 130.0;

/// Draws a graph.
pub(super) fn draw(graph: &Graph) -> String {
    let labels: Vec<String> = graph.entities.iter().map(|entity| label(&entity.name)).collect();
    let places = layout(graph);
    let width = |at: usize| labels.get(at).map_or(0.0, |label| count(label.chars().count()) * CHARACTER + 18.0);
    let reach = |axis: fn(&(f64, f64)) -> f64, sign: f64| places.iter().map(|place| sign * axis(place)).fold(0.0, f64::max);
    let margin = 20.0 + count(LABEL + 1) * CHARACTER / 2.0;
    let (left, top) = (-reach(|place| place.0, -1.0) - margin, -reach(|place| place.1, -1.0) - margin);
    let (right, bottom) = (reach(|place| place.0, 1.0) + margin, reach(|place| place.1, 1.0) + margin);

    let mut svg = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let (wide, high) = (right - left, bottom - top);
    let _infallible = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"{left:.0} {top:.0} {wide:.0} {high:.0}\" width=\"{wide:.0}\" height=\"{high:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Memory: {}, {}</title>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" fill=\"#888\"/></marker></defs>\n\
         <rect x=\"{left:.0}\" y=\"{top:.0}\" width=\"{wide:.0}\" height=\"{high:.0}\" fill=\"#fff\"/>",
        counted(graph.entities.len(), "entity", "entities"),
        counted(graph.relations.len(), "relation", "relations"),
    );
    let by_name = graph.by_name();
    for relation in &graph.relations {
        let ends = (by_name.get(relation.from.as_str()), by_name.get(relation.to.as_str()));
        if let (Some(from), Some(to)) = ends
            && let (Some(begin), Some(end)) = (places.get(*from), places.get(*to))
        {
            arrow(&mut svg, *begin, *end, width(*from), width(*to), &relation.relation_type);
        }
    }
    for (at, (entity, place)) in graph.entities.iter().zip(&places).enumerate() {
        let mut tooltip = entity.name.clone();
        if !entity.entity_type.is_empty() {
            let _infallible = write!(tooltip, " ({})", entity.entity_type);
        }
        for observation in &entity.observations {
            let _infallible = write!(tooltip, "\n- {observation}");
        }
        let _infallible = writeln!(
            svg,
            "<g><title>{}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{HEIGHT}\" rx=\"13\" fill=\"hsl({},60%,90%)\" \
             stroke=\"#666\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text></g>",
            escaped(&tooltip),
            place.0 - width(at) / 2.0,
            place.1 - HEIGHT / 2.0,
            width(at),
            hue(&entity.entity_type),
            place.0,
            place.1 + 4.0,
            escaped(labels.get(at).map_or("", String::as_str)),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// An arrow between the edges of two boxes, or a loop at one, with what it means in its middle.
fn arrow(svg: &mut String, begin: (f64, f64), end: (f64, f64), begin_width: f64, end_width: f64, what: &str) {
    let (dx, dy) = (end.0 - begin.0, end.1 - begin.1);
    let length = dx.hypot(dy);
    let text = escaped(&label(what));
    let title = escaped(what);
    if length < 1.0 {
        let (x, y) = (begin.0, begin.1 - HEIGHT / 2.0);
        let _infallible = writeln!(
            svg,
            "<g><title>{title}</title><path d=\"M{:.1} {y:.1}c-20 -36 20 -36 10 0\" fill=\"none\" stroke=\"#888\" marker-end=\"url(#tip)\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"#555\" text-anchor=\"middle\">{text}</text></g>",
            x - 5.0,
            y - 30.0,
        );
        return;
    }
    // How far along the line the box ends.
    let inside =
        |width: f64| (width / 2.0 / (dx / length).abs().max(1e-6)).min(HEIGHT / 2.0 / (dy / length).abs().max(1e-6)).min(length / 2.0);
    let (from, to) = (inside(begin_width) / length, 1.0 - inside(end_width) / length);
    let _infallible = writeln!(
        svg,
        "<g><title>{title}</title><line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#888\" marker-end=\"url(#tip)\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\" font-size=\"10\" fill=\"#555\" text-anchor=\"middle\">{text}</text></g>",
        begin.0 + dx * from,
        begin.1 + dy * from,
        begin.0 + dx * to,
        begin.1 + dy * to,
        // Nearer to the beginning, so that the two directions of a pair do not lie on each other.
        begin.0 + dx * 0.42,
        begin.1 + dy * 0.42 - 3.0,
    );
}

/// Where each entity stands.
fn layout(graph: &Graph) -> Vec<(f64, f64)> {
    let total = graph.entities.len();
    // A sunflower: evenly spread, whatever the number.
    let mut places: Vec<(f64, f64)> = (0..total)
        .map(|at| {
            let (radius, angle) = (ROOM * 0.6 * count(at).sqrt(), count(at) * 2.399_963);
            (radius * angle.cos(), radius * angle.sin())
        })
        .collect();
    let neighbours = graph.neighbours();
    let rounds = (PAIRS / (total * total).max(1)).min(250);
    for round in 0..rounds {
        let reach = ROOM * (1.0 - count(round) / count(rounds)) * 0.5 + 0.5;
        let pushes: Vec<(f64, f64)> = places.iter().enumerate().map(|(at, place)| push(at, *place, &places, &neighbours)).collect();
        for (place, push) in places.iter_mut().zip(pushes) {
            let length = push.0.hypot(push.1).max(1e-9);
            let step = length.min(reach) / length;
            *place = (place.0 + push.0 * step, place.1 + push.1 * step);
        }
    }
    places
}

/// Where an entity is pushed and drawn, all forces together.
fn push(at: usize, place: (f64, f64), places: &[(f64, f64)], neighbours: &[Vec<usize>]) -> (f64, f64) {
    // A little towards the middle keeps groups together that nothing connects.
    let mut sum = (-place.0 * 0.03, -place.1 * 0.03);
    for (_other, there) in places.iter().enumerate().filter(|(other, _)| *other != at) {
        // Boxes are wider than high.
        let (dx, dy) = (place.0 - there.0, place.1 - there.1);
        let square = (dx * dx * 0.5 + dy * dy).max(1.0);
        sum.0 += dx * ROOM * ROOM / square / 1.5;
        sum.1 += dy * ROOM * ROOM / square / 1.5;
    }
    for there in neighbours.get(at).into_iter().flatten().filter_map(|other| places.get(*other)) {
        let (dx, dy) = (there.0 - place.0, there.1 - place.1);
        let pull = dx.hypot(dy) / ROOM / 1.5;
        sum.0 += dx * pull;
        sum.1 += dy * pull;
    }
    sum
}

#[expect(clippy::cast_precision_loss, reason = "counts of what is drawn")]
const fn count(number: usize) -> f64 {
    number as f64
}

/// A colour of its own for each type.
fn hue(entity_type: &str) -> u32 {
    entity_type.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619)) % 360
}

/// The beginning of a text, on one line.
fn label(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    shortened(&line, LABEL).into_owned()
}

/// Text as XML has it; characters that XML cannot hold are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' => escaped.push(character),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            control if control.is_control() => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::tests::{entity, relation};
    use super::*;

    fn some() -> Graph {
        let mut graph = Graph {
            entities: vec![
                entity("Ada & <Bob> \"x\" 'y' ]]>", "<!--", &["1 < 2 & 3", "\u{0}\u{b}\u{ffff}"]),
                entity(&"long ".repeat(40), "", &[]),
                entity("日本", "place", &[]),
            ],
            relations: vec![relation("日本", "日本", "is"), relation("日本", "Ada & <Bob> \"x\" 'y' ]]>", "</text>")],
        };
        for number in 0..40 {
            graph.entities.push(entity(&format!("n{number}"), "number", &[]));
            graph.relations.push(relation(&format!("n{number}"), &format!("n{}", number / 2), "half"));
        }
        graph
    }

    #[test]
    fn the_same_graph_is_the_same_picture() {
        assert_eq!(draw(&some()), draw(&some()));
        assert!(draw(&Graph::default()).ends_with("</svg>\n"));
    }

    #[test]
    fn entities_stand_apart_and_places_are_numbers() {
        let places = layout(&some());
        assert!(places.iter().all(|place| place.0.is_finite() && place.1.is_finite()));
        for (at, one) in places.iter().enumerate() {
            for other in places.iter().skip(at + 1) {
                assert!((one.0 - other.0).hypot(one.1 - other.1) > 15.0, "{one:?} and {other:?}");
            }
        }
        // A relation draws together: neighbours are nearer than others, in the mean.
        let distance = |one: usize, other: usize| (places[one].0 - places[other].0).hypot(places[one].1 - places[other].1);
        let near: f64 = (1..40).map(|number| distance(3 + number, 3 + number / 2)).sum::<f64>() / 39.0;
        let far: f64 = (1..40).map(|number| distance(3 + number, 3 + (number + 17) % 40)).sum::<f64>() / 39.0;
        assert!(near < far * 0.8, "{near} and {far}");
    }

    #[test]
    fn nothing_that_is_stored_becomes_markup() {
        let svg = draw(&some());
        assert!(svg.contains("Ada &amp; &lt;Bob&gt; &quot;x&quot; 'y' ]]&gt;"), "{svg}");
        assert!(!svg.contains("<Bob>") && !svg.contains("<!--") && !svg.contains('\u{0}') && !svg.contains('\u{ffff}'));
        assert_eq!(svg.matches("</text>").count(), svg.matches("<text ").count());
    }
}
