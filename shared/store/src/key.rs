//! The key of an item. The functions that build keys are with their entities.

use crate::attributes::{Item, text};
use crate::expression::s;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub pk: String,
    pub sk: String,
}

impl Key {
    pub fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self {
            pk: pk.into(),
            sk: sk.into(),
        }
    }

    pub fn into_item(self) -> Item {
        Item::from([("pk".to_owned(), s(self.pk)), ("sk".to_owned(), s(self.sk))])
    }

    pub fn is_of(&self, item: &Item) -> bool {
        text(item, "pk") == Some(&self.pk) && text(item, "sk") == Some(&self.sk)
    }
}
