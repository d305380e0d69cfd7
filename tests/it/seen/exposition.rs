//! Reads the text format of Prometheus, version 0.0.4, strictly: what is not as the format says is a fault.

use std::collections::{BTreeMap, BTreeSet};

/// One line with a value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
}

/// One number with all its lines.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) samples: Vec<Sample>,
}

/// All numbers by their names.
pub(crate) type Families = BTreeMap<String, Family>;

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(name), "label {name} in {text}");
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (_, '\\') => match chars.next().unwrap().1 {
                    'n' => value.push('\n'),
                    escaped @ ('\\' | '"') => value.push(escaped),
                    other => panic!("\\{other} in {text}"),
                },
                (at, '"') => break at,
                (_, plain) => value.push(plain),
            }
        };
        assert_eq!(labels.insert(name.to_owned(), value), None, "{name} twice in {text}");
        rest = &after[end + 1..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').unwrap();
        }
    }
    labels
}

fn sample(line: &str) -> Sample {
    let (name, labels_and_value) = match line.find('{') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => line.split_once(' ').unwrap(),
    };
    let (labels, value) = if line.contains('{') {
        let (inner, value) = labels_and_value.rsplit_once("} ").unwrap();
        (labels(inner), value)
    } else {
        (BTreeMap::new(), labels_and_value)
    };
    assert!(is_name(name), "{line}");
    let value = value.parse().unwrap_or_else(|_| panic!("no number in {line}"));
    let name = name.to_owned();
    Sample { name, labels, value }
}

/// Reads the whole text.
#[track_caller]
pub(crate) fn read(text: &str) -> Families {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut families = Families::new();
    let mut seen = BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            let family: &mut Family = families.entry(name.to_owned()).or_default();
            assert!(family.help.is_empty() && family.samples.is_empty(), "{line}");
            help.clone_into(&mut family.help);
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let family = families.entry(name.to_owned()).or_default();
            assert!(family.kind.is_empty() && family.samples.is_empty(), "{line}");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            kind.clone_into(&mut family.kind);
        } else {
            let sample = sample(line);
            let key = format!("{} {:?}", sample.name, sample.labels);
            assert!(seen.insert(key), "twice: {line}");
            let of_family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|end| sample.name.strip_suffix(end));
            let histogram = of_family
                .into_iter()
                .find(|name| families.get(*name).is_some_and(|it| it.kind == "histogram"));
            let name = histogram.unwrap_or(&sample.name).to_owned();
            let family = families
                .get_mut(&name)
                .unwrap_or_else(|| panic!("no type before {line}"));
            family.samples.push(sample);
        }
    }
    for (name, family) in &families {
        assert!(
            !family.kind.is_empty() && !family.help.is_empty(),
            "{name} has no type or no help"
        );
        if family.kind == "histogram" {
            histogram(name, family);
        }
    }
    families
}

/// The buckets of a histogram grow, and the last one has all.
fn histogram(name: &str, family: &Family) {
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for sample in family.samples.iter().filter(|sample| sample.name.ends_with("_bucket")) {
        let mut labels = sample.labels.clone();
        let bound: f64 = labels.remove("le").unwrap().parse().unwrap();
        buckets
            .entry(format!("{labels:?}"))
            .or_default()
            .push((bound, sample.value));
    }
    for sample in family.samples.iter().filter(|sample| sample.name.ends_with("_count")) {
        let own = &buckets[&format!("{:?}", sample.labels)];
        assert!(
            own.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1),
            "{name}: {own:?}"
        );
        assert_eq!(own.last().copied(), Some((f64::INFINITY, sample.value)), "{name}");
    }
}

/// Returns the value of the line with these labels.
pub(crate) fn value(families: &Families, name: &str, labels: &[(&str, &str)]) -> f64 {
    let all = families.values().flat_map(|family| &family.samples);
    let mut found = all.filter(|sample| {
        sample.name == name
            && labels
                .iter()
                .all(|(label, value)| sample.labels.get(*label).is_some_and(|it| it == value))
    });
    found.next().map_or(0.0, |sample| sample.value)
}
