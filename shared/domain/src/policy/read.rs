//! Reading a policy file: each field by itself, so that one reading finds every fault.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::faults::Faults;

/// A value of the file, with its place in the text.
pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// The path to a field.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place<'a> {
    /// The whole file.
    File,
    /// A field of what is at another place.
    Field(&'a Place<'a>, &'a str),
    /// An item of the list at another place, counted from 0.
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Field(Self::File, name) => f.write_str(name),
            Self::Field(parent, name) => {
                parent.write(f)?;
                write!(f, ".{name}")
            }
            Self::Item(parent, i) => {
                parent.write(f)?;
                write!(f, "[{i}]")
            }
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File | Self::Field(Self::File, "") => f.write_str("(file)"),
            _ => self.write(f),
        }
    }
}

/// What can be read from a value of a policy file.
pub(super) trait Read: Sized {
    /// Reads a value. Adds what is wrong with it to `faults`, and returns `None` if anything is.
    fn read(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> Option<Self>;
}

/// Reads a value in the way that its type is deserialized.
pub(super) fn leaf<'i, T: Deserialize<'i>>(
    value: Value<'i>,
    place: Place<'_>,
    faults: &mut Faults,
) -> Option<T> {
    let start = value.span().start;
    T::deserialize(ValueDeserializer::from(value))
        .map_err(|e| faults.add_at(start, place, e.message()))
        .ok()
}

/// Implements [`Read`] for types that are deserialized whole.
macro_rules! leaves {
    ($($name:ty),*) => {
        $(impl $crate::policy::read::Read for $name {
            fn read(
                value: $crate::policy::read::Value<'_>,
                place: $crate::policy::read::Place<'_>,
                faults: &mut $crate::policy::faults::Faults,
            ) -> Option<Self> {
                $crate::policy::read::leaf(value, place, faults)
            }
        })*
    };
}
pub(super) use leaves;

leaves!(
    bool,
    String,
    crate::values::ids::PortalId,
    crate::values::record_kind::Fact,
    crate::values::record_kind::RecordKind
);

impl<T: Read> Read for Option<T> {
    fn read(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> Option<Self> {
        T::read(value, place, faults).map(Some)
    }
}

impl<T: Read> Read for Vec<T> {
    fn read(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> Option<Self> {
        items(value, place, faults).into_whole()
    }
}

impl<T: Read + Ord> Read for BTreeSet<T> {
    fn read(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> Option<Self> {
        Vec::read(value, place, faults).map(|items| items.into_iter().collect())
    }
}

/// A list as far as it could be read, so that its good items are still checked.
#[derive(Debug)]
pub(super) struct List<T> {
    items: Vec<Option<T>>,
    whole: bool,
}

impl<T> List<T> {
    /// Returns the items that could be read, with their numbers from 0.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let items = self.items.iter().enumerate();
        items.filter_map(|(i, item)| Some((i, item.as_ref()?)))
    }

    /// Returns whether the list certainly has no such item.
    pub(super) fn lacks(&self, is_it: impl Fn(&T) -> bool) -> bool {
        self.whole && !self.iter().any(|(_, item)| is_it(item))
    }

    /// Returns the items if all of them could be read.
    pub(super) fn into_whole(self) -> Option<Vec<T>> {
        let items = Some(self.items).filter(|_| self.whole)?;
        items.into_iter().collect()
    }
}

fn items<T: Read>(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> List<T> {
    let unreadable = List {
        items: Vec::new(),
        whole: false,
    };
    if !matches!(value.get_ref(), DeValue::Array(_)) {
        leaf::<Vec<IgnoredAny>>(value, place, faults);
        return unreadable;
    }
    let DeValue::Array(array) = value.into_inner() else {
        return unreadable;
    };
    let items: Vec<_> = array
        .into_iter()
        .enumerate()
        .map(|(i, item)| T::read(item, Place::Item(&place, i), faults))
        .collect();
    let whole = items.iter().all(Option::is_some);
    List { items, whole }
}

/// Returns the entries of a table, and where it begins.
pub(super) fn table<'i>(
    value: Value<'i>,
    place: Place<'_>,
    faults: &mut Faults,
) -> Option<(DeTable<'i>, usize)> {
    let start = value.span().start;
    if !matches!(value.get_ref(), DeValue::Table(_)) {
        leaf::<toml::Table>(value, place, faults);
        return None;
    }
    match value.into_inner() {
        DeValue::Table(table) => Some((table, start)),
        _ => None,
    }
}

/// The fields of a table, which are taken from it one after the other.
pub(super) struct SectionReader<'i, 'f> {
    table: DeTable<'i>,
    place: Place<'f>,
    start: usize,
    faults: &'f mut Faults,
    names: Vec<&'static str>,
}

impl<'i, 'f> SectionReader<'i, 'f> {
    /// Returns the fields of a whole file.
    pub(super) fn of_file(table: DeTable<'i>, faults: &'f mut Faults) -> Self {
        Self {
            table,
            place: Place::File,
            start: 0,
            faults,
            names: Vec::new(),
        }
    }

    /// Returns the fields of a section.
    pub(super) fn of(value: Value<'i>, place: Place<'f>, faults: &'f mut Faults) -> Option<Self> {
        let (table, start) = table(value, place, faults)?;
        Some(Self {
            table,
            place,
            start,
            faults,
            names: Vec::new(),
        })
    }

    /// Returns whether a field is given, rightly or not.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    fn take<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Value<'i>, Place<'_>, &mut Faults) -> T,
    ) -> Option<T> {
        self.names.push(name);
        let value = self.table.remove(name)?;
        Some(read(value, Place::Field(&self.place, name), self.faults))
    }

    /// Reads a field that must be given.
    pub(super) fn required<T: Read>(&mut self, name: &'static str) -> Option<T> {
        let read = self.take(name, T::read);
        if read.is_none() {
            let reason = format!("missing field `{name}`");
            self.faults.add_at(self.start, self.place, reason);
        }
        read.flatten()
    }

    /// Reads a field that can be absent.
    pub(super) fn optional<T: Read>(
        &mut self,
        name: &'static str,
        absent: impl FnOnce() -> T,
    ) -> Option<T> {
        self.take(name, T::read).unwrap_or_else(|| Some(absent()))
    }

    /// Reads a list that can be absent, as far as it can be read.
    pub(super) fn list<T: Read>(&mut self, name: &'static str) -> List<T> {
        self.take(name, items).unwrap_or(List {
            items: Vec::new(),
            whole: true,
        })
    }

    /// Adds a fault for each field that was not read.
    pub(super) fn reject_unknown(self) {
        let names: Vec<_> = self.names.iter().map(|n| format!("`{n}`")).collect();
        let expected = match names.as_slice() {
            [one] => one.clone(),
            [one, other] => format!("{one} or {other}"),
            several => format!("one of {}", several.join(", ")),
        };
        for name in self.table.keys() {
            let (start, name) = (name.span().start, name.get_ref());
            let reason = format!("unknown field `{name}`, expected {expected}");
            let place = Place::Field(&self.place, name);
            self.faults.add_at(start, place, reason);
        }
    }
}

/// Declares a section of a policy file. A field with `= …` can be absent; all others are required.
macro_rules! section {
    (
        $(#[$about:meta])*
        $visible:vis struct $name:ident {
            $($(#[$about_field:meta])* $field_visible:vis $field:ident: $of_type:ty $(= $absent:expr)?,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq)]
        $visible struct $name {
            $($(#[$about_field])* $field_visible $field: $of_type,)*
        }

        impl $crate::policy::read::Read for $name {
            fn read(
                value: $crate::policy::read::Value<'_>,
                place: $crate::policy::read::Place<'_>,
                faults: &mut $crate::policy::faults::Faults,
            ) -> Option<Self> {
                let mut fields = $crate::policy::read::SectionReader::of(value, place, faults)?;
                $(let $field = $crate::policy::read::section!(@field fields, $field $(, $absent)?);)*
                fields.reject_unknown();
                Some(Self { $($field: $field?,)* })
            }
        }
    };
    (@field $fields:ident, $field:ident) => {
        $fields.required(stringify!($field))
    };
    (@field $fields:ident, $field:ident, $absent:expr) => {
        $fields.optional(stringify!($field), || $absent)
    };
}
pub(super) use section;
