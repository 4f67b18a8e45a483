//! What a mail or letter says, before it is laid out.

use vestibule_domain::text::Sensitive;

use crate::words::{one_line, wrapped};

/// One part of what is said.
pub(crate) enum Block {
    /// A paragraph.
    Text(String),
    /// The items of a list.
    List(Vec<String>),
    /// Things with their names.
    Facts(Vec<(&'static str, String)>),
    /// A PIN or code to be typed in, set apart.
    Code {
        /// What it is.
        label: &'static str,
        /// The code.
        code: String,
    },
    /// A page to open.
    Link {
        /// What it is for.
        label: String,
        /// Its address.
        address: String,
    },
}

impl Block {
    /// A paragraph.
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(one_line(text.as_ref()))
    }

    /// The items of a list.
    pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> Self {
        Self::List(items.into_iter().map(|i| one_line(i)).collect())
    }

    /// Things with their names.
    pub(crate) fn facts<const N: usize>(facts: [(&'static str, &str); N]) -> Self {
        Self::Facts(facts.map(|(name, value)| (name, one_line(value))).into())
    }

    /// A PIN or code to be typed in.
    pub(crate) fn code(label: &'static str, code: &Sensitive) -> Self {
        Self::Code {
            label,
            code: one_line(code.expose()),
        }
    }

    /// A page to open.
    pub(crate) fn link(label: &str, address: &str) -> Self {
        let address = address.chars().filter(char::is_ascii_graphic).collect();
        Self::Link {
            label: one_line(label),
            address,
        }
    }

    /// As it stands in a text part.
    pub(crate) fn as_text(&self) -> String {
        match self {
            Self::Text(text) => wrapped("", text),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|i| wrapped("  - ", i)).collect();
                items.join("\n")
            }
            Self::Facts(facts) => {
                let widest = facts.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
                let line = |(name, value): &(&str, String)| {
                    wrapped(&format!("  {:1$}  ", format!("{name}:"), widest + 1), value)
                };
                facts.iter().map(line).collect::<Vec<_>>().join("\n")
            }
            Self::Code { label, code } => format!("{label}:\n\n    {code}"),
            Self::Link { label, address } => format!("{label}:\n{address}"),
        }
    }
}

/// What a mail or letter says.
pub(crate) struct Content {
    /// What it is about, in one line, without a secret.
    pub subject: String,
    /// The parts of it, in order.
    pub blocks: Vec<Block>,
    /// Why the reader gets it: what follows "because".
    pub because: String,
}

impl Content {
    /// What is said on a subject.
    pub(crate) fn new(
        subject: impl AsRef<str>,
        blocks: Vec<Block>,
        because: impl AsRef<str>,
    ) -> Self {
        Self {
            subject: one_line(subject.as_ref()),
            blocks,
            because: one_line(because.as_ref()),
        }
    }
}
