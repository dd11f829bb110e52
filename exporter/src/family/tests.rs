use super::*;

fn histogram(families: &mut Families, name: &str, pairs: &[(&str, &str)]) -> Result<(), Refusal> {
    let empty = Value::Distribution(Distribution::default());
    families.try_add(name, Type::Histogram, "", labels(pairs), empty, 0)
}

fn number(families: &mut Families, name: &str, kind: Type, pairs: &[(&str, &str)]) -> Result<(), Refusal> {
    families.try_add(name, kind, "", labels(pairs), Value::Number(1.0), 0)
}

#[test]
fn what_would_spoil_a_scrape_is_refused() {
    let mut families = Families::default();
    let long = "x".repeat(201);
    for name in ["", "1a", "a-b", "a b", "a\nb", "é", "a{", long.as_str()] {
        assert_eq!(
            number(&mut families, name, Type::Gauge, &[]),
            Err(Refusal::BadName),
            "{name:?}"
        );
    }
    for label in ["", "1a", "a:b", "__a", "a\"", "a b", "quantile"] {
        let labels = [(label, "v")];
        assert_eq!(
            number(&mut families, "a", Type::Gauge, &labels),
            Err(Refusal::BadLabel),
            "{label:?}"
        );
    }
    assert_eq!(
        number(&mut families, "a", Type::Gauge, &[("x", "1"), ("x", "2")]),
        Err(Refusal::BadLabel)
    );
    assert_eq!(histogram(&mut families, "a", &[("le", "1")]), Err(Refusal::BadLabel));
    assert_eq!(families.iter().count(), 0, "a refusal leaves nothing behind");
}

#[test]
fn a_series_is_taken_once_whatever_the_order_of_its_labels() {
    let mut families = Families::default();
    let mut add = |labels: &[(&str, &str)]| number(&mut families, "a", Type::Gauge, labels);
    assert_eq!(add(&[("x", "1"), ("y", "2")]), Ok(()));
    assert_eq!(add(&[("y", "2"), ("x", "1")]), Err(Refusal::Duplicate));
    assert_eq!(add(&[("x", "1"), ("y", "3")]), Ok(()));
    assert_eq!(add(&[]), Ok(()));
    assert_eq!(add(&[("z", "")]), Err(Refusal::Duplicate), "an empty value is no label");
    assert_eq!(families.get("a").unwrap().series.len(), 3);
}

#[test]
fn a_family_has_one_type_and_owns_its_lines() {
    let mut families = Families::default();
    assert_eq!(histogram(&mut families, "h", &[]), Ok(()));
    assert_eq!(number(&mut families, "h", Type::Gauge, &[]), Err(Refusal::TypeDiffers));
    assert_eq!(
        number(&mut families, "h_count", Type::Counter, &[]),
        Err(Refusal::NameTaken)
    );
    assert_eq!(number(&mut families, "g_sum", Type::Gauge, &[]), Ok(()));
    assert_eq!(histogram(&mut families, "g", &[]), Err(Refusal::NameTaken));
    assert_eq!(
        families.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        ["g_sum", "h"]
    );
}

#[test]
fn there_is_an_end_to_series() {
    let mut families = Families::default();
    let refused =
        (0..=LINES_MAX).filter_map(|i| number(&mut families, "a", Type::Gauge, &[("i", &i.to_string())]).err());
    let refused: Vec<Refusal> = refused.collect();
    assert!(!refused.is_empty() && refused.iter().all(|r| *r == Refusal::TooMany));
}
