//! Which series are wanted: by a part of the name and by labels.

use quantumflow_region::{Series, SeriesMeta, Snapshot};

/// Which series to show.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Only series with this in their name; any of several
    #[arg(long, value_name = "TEXT")]
    metric: Vec<String>,
    /// Only series with this label value; all of several
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a label is given as NAME=VALUE")?;
    if name.is_empty() {
        return Err("a label is given as NAME=VALUE".into());
    }
    Ok((name.to_owned(), value.to_owned()))
}

impl Filter {
    /// Whether everything passes, also what is no series.
    pub(super) fn is_open(&self) -> bool {
        self.metric.is_empty() && self.label.is_empty()
    }

    pub(super) fn passes(&self, meta: &SeriesMeta) -> bool {
        let named = self.metric.is_empty() || self.metric.iter().any(|part| meta.name.contains(part.as_str()));
        named && self.label.iter().all(|(name, value)| meta.label(name) == Some(value))
    }

    pub(super) fn of<'a>(&'a self, snapshot: &'a Snapshot) -> impl Iterator<Item = &'a Series> {
        snapshot.series.iter().filter(|series| self.passes(&series.meta))
    }
}
