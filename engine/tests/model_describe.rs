//! What a plan says of its own size is what training has counted in the models that it wrote.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on may panic, in its helpers as well"
)]

use quantumflow::config::ModelSource;
use quantumflow::model;

const TABLE: &str = include_str!("../models/README.md");

/// Name, parameters and multiply-adds of each model in the table.
fn counted_by_training() -> Vec<(String, usize, usize)> {
    let number = |cell: &str| cell.trim().replace(',', "").parse::<usize>().unwrap();
    let rows = TABLE.lines().filter(|line| line.starts_with("| ["));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let name = cells[1].trim().trim_start_matches('[').split(']').next().unwrap();
        (name.to_owned(), number(cells[3]), number(cells[4]))
    })
    .collect()
}

#[test]
fn steps_add_up_to_the_sizes_that_training_counted() {
    let table = counted_by_training();
    assert_eq!(table.len(), model::builtin_names().count());
    for (name, parameters, multiply_adds) in table {
        let model = model::load_source(&ModelSource::Builtin(name.clone())).unwrap();
        let steps = model.plan().describe();
        let is_of_trees = steps.iter().any(|step| step.kernel == "forest");
        let sum = |of: fn(&model::plan::StepSummary) -> usize| -> usize {
            let counted = steps.iter().filter(|step| step.unit == "multiply-adds");
            counted.map(of).sum()
        };
        assert_eq!(sum(|step| step.alone), multiply_adds, "{name}");
        // What a tree's parameters are is a matter of taste.
        if !is_of_trees {
            assert_eq!(sum(|step| step.weights), parameters, "{name}");
        }
        let slides = sum(|step| step.slide);
        match model.contract().window {
            1 => assert_eq!(slides, multiply_adds, "{name}: there is nothing to keep"),
            _ => assert!(
                slides < multiply_adds,
                "{name}: {slides} of {multiply_adds} with each further row"
            ),
        }
    }
}
