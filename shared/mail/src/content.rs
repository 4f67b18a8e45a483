//! The content of an email or letter before layout.

use vestibule_domain::values::text::Sensitive;

use crate::words::{one_line, wrapped};

pub(crate) enum Block {
    /// A paragraph.
    Text(String),
    List(Vec<String>),
    /// Labels with their values.
    Facts(Vec<(&'static str, String)>),
    /// A PIN or code to be entered, set apart from the text.
    Code {
        label: &'static str,
        code: String,
    },
    /// A page to open.
    Link {
        label: String,
        /// The URL.
        address: String,
    },
}

impl Block {
    pub(crate) fn text(text: impl AsRef<str>) -> Self {
        Self::Text(one_line(text.as_ref()))
    }

    pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> Self {
        Self::List(items.into_iter().map(|i| one_line(i)).collect())
    }

    pub(crate) fn facts<const N: usize>(facts: [(&'static str, &str); N]) -> Self {
        Self::Facts(facts.map(|(name, value)| (name, one_line(value))).into())
    }

    pub(crate) fn code(label: &'static str, code: &Sensitive) -> Self {
        Self::Code {
            label,
            code: one_line(code.expose()),
        }
    }

    pub(crate) fn link(label: &str, address: &str) -> Self {
        let address = address.chars().filter(char::is_ascii_graphic).collect();
        Self::Link {
            label: one_line(label),
            address,
        }
    }

    /// Renders the block for a text part.
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

pub(crate) struct Content {
    /// One line, without a secret.
    pub subject: String,
    pub blocks: Vec<Block>,
    /// Why the reader receives it: the rest of a sentence that ends in "because".
    pub because: String,
}

impl Content {
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
