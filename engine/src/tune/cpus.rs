//! Lists of processors as the kernel writes and reads them: `0-3,8`, and on its command line `all`, `N` and `0-15:2/4`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A set of processors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuList(BTreeSet<usize>);

/// No processor of Linux has a higher number (`CONFIG_MAXSMP` builds for so many).
const CPU_COUNT_MAX: usize = 8192;

/// The text is no list of processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected processors such as 3 or 0-3,8, below {CPU_COUNT_MAX}")]
pub struct InvalidCpuList;

impl CpuList {
    /// Of one processor.
    pub fn of(cpu: usize) -> Self {
        Self(BTreeSet::from([cpu]))
    }

    /// A list of the kernel's command line, on a host whose last possible processor is `last`.
    pub fn parse_boot(text: &str, last: usize) -> Result<Self, InvalidCpuList> {
        let mut cpus = BTreeSet::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (range, step) = match part.split_once(':') {
                Some((range, step)) => (range, Some(step)),
                None => (part, None),
            };
            let number = |text: &str| match text {
                "N" => Ok(last),
                digits => plain_number(digits),
            };
            let (first, end) = match range.split_once('-') {
                _ if range == "all" => (0, last),
                Some((first, end)) => (number(first)?, number(end)?),
                None => (number(range)?, number(range)?),
            };
            if first > end || end >= CPU_COUNT_MAX {
                return Err(InvalidCpuList);
            }
            // The first `used` of each group of `group`.
            let (used, group) = match step.map(|step| step.split_once('/').ok_or(InvalidCpuList)) {
                Some(step) => {
                    let (used, group) = step?;
                    (plain_number(used)?, plain_number(group)?)
                }
                None => (1, 1),
            };
            if used == 0 || used > group {
                return Err(InvalidCpuList);
            }
            cpus.extend((first..=end).filter(|cpu| (cpu - first) % group < used));
        }
        Ok(Self(cpus))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one is among them.
    pub fn contains(&self, cpu: usize) -> bool {
        self.0.contains(&cpu)
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// The last.
    pub fn last(&self) -> Option<usize> {
        self.0.last().copied()
    }

    /// Those of both.
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }

    /// Those of either.
    pub fn or(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).copied().collect())
    }

    /// Those that the other does not have.
    pub fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).copied().collect())
    }
}

/// Digits only: `str::parse` would take a sign.
fn plain_number(text: &str) -> Result<usize, InvalidCpuList> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain
        .then(|| text.parse().ok())
        .flatten()
        .filter(|number| *number <= CPU_COUNT_MAX)
        .ok_or(InvalidCpuList)
}

impl FromStr for CpuList {
    type Err = InvalidCpuList;

    /// What files of `/proc` and `/sys` say: numbers and ranges; nothing for none.
    fn from_str(text: &str) -> Result<Self, InvalidCpuList> {
        if text.bytes().any(|byte| !b"0123456789,- \n".contains(&byte)) {
            return Err(InvalidCpuList);
        }
        Self::parse_boot(text, 0)
    }
}

/// As the kernel writes it: `0-3,8`.
impl fmt::Display for CpuList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.iter().peekable();
        let mut is_first = true;
        while let Some(first) = rest.next() {
            let mut end = first;
            while let Some(next) = rest.next_if_eq(&(end + 1)) {
                end = next;
            }
            let comma = if is_first { "" } else { "," };
            is_first = false;
            match first == end {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{end}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lists_are_read_as_the_kernel_means_them() {
        for (text, expected) in [
            ("", Some("")),
            ("0", Some("0")),
            ("0-3,8", Some("0-3,8")),
            ("8,0,1,2,3,3", Some("0-3,8")),
            ("0-1, 4", Some("0-1,4")),
            ("3-1", None),
            ("1-", None),
            ("-1", None),
            ("+1", None),
            ("1--2", None),
            ("f", None),
            ("all", None),
            ("8191", Some("8191")),
            ("8192", None),
            ("0-99999999999999999999", None),
        ] {
            let read = text.parse::<CpuList>();
            assert_eq!(read.ok().map(|list| list.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_command_line_has_words_and_groups_as_well() {
        for (text, expected) in [
            ("all", Some("0-15")),
            ("8-N", Some("8-15")),
            ("N", Some("15")),
            ("0-15:2/4", Some("0-1,4-5,8-9,12-13")),
            ("1,4-7:1/2", Some("1,4,6")),
            ("0-3:0/2", None),
            ("0-3:3/2", None),
            ("0-3:1", None),
            ("0-3:1/0", None),
            ("domain", None),
        ] {
            let read = CpuList::parse_boot(text, 15);
            assert_eq!(read.ok().map(|list| list.to_string()).as_deref(), expected, "{text:?}");
        }
    }

    /// One range of a list: first, length, and the group if it has one.
    fn part() -> impl Strategy<Value = (usize, usize, Option<(usize, usize)>)> {
        let group = (1usize..6, 0usize..6).prop_map(|(used, more)| (used, used + more));
        (0usize..200, 1usize..40, prop::option::of(group))
    }

    proptest! {
        /// Against a row of marks.
        #[test]
        fn ranges_are_the_marks_that_they_set(parts in prop::collection::vec(part(), 0..6)) {
            let mut marks = [false; 256];
            let mut words = Vec::new();
            for (first, length, group) in parts {
                let mut word = match length {
                    1 => first.to_string(),
                    _ => format!("{first}-{}", first + length - 1),
                };
                let mut left_of_group = 0;
                let (used, whole) = group.unwrap_or((1, 1));
                if group.is_some() {
                    word.push_str(&format!(":{used}/{whole}"));
                }
                for at in 0..length {
                    if at % whole == 0 {
                        left_of_group = used;
                    }
                    if left_of_group > 0 {
                        marks[first + at] = true;
                        left_of_group -= 1;
                    }
                }
                words.push(word);
            }
            let list = CpuList::parse_boot(&words.join(","), 255).unwrap();
            for (cpu, mark) in marks.iter().enumerate() {
                prop_assert_eq!(list.contains(cpu), *mark, "{}", cpu);
            }
            // What is written is read back, and says the same.
            prop_assert_eq!(list.to_string().parse::<CpuList>().unwrap(), list);
        }

        #[test]
        fn no_text_is_too_odd_to_be_refused(text in "[0-9,:/N -]{0,24}") {
            if let Ok(list) = CpuList::parse_boot(&text, 7) {
                prop_assert!(list.last().is_none_or(|last| last < CPU_COUNT_MAX));
            }
        }
    }
}
