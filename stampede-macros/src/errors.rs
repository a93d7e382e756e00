//! Mistakes are collected, so that all of one use are reported at once, each under the token that caused it.

use std::fmt::Display;

use proc_macro2::TokenStream;
use quote::ToTokens;

/// The mistakes found so far.
#[derive(Default)]
pub(crate) struct Errors(Option<syn::Error>);

impl Errors {
    /// A mistake at `tokens`.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl Display) {
        self.push(syn::Error::new_spanned(tokens, message));
    }

    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Those of another reading.
    pub(crate) fn merge(&mut self, others: Errors) {
        if let Some(error) = others.0 {
            self.push(error);
        }
    }

    pub(crate) fn keep<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// What was built, or the report of all mistakes. Nothing is built without a mistake that says why.
    pub(crate) fn finish<T>(self, built: Option<T>) -> Result<T, Report> {
        match (self.0, built) {
            (None, Some(built)) => Ok(built),
            (Some(error), _) => Err(Report(error)),
            (None, None) => unreachable!("what cannot be built is reported"),
        }
    }
}

/// Everything that is wrong with one use of an attribute.
pub(crate) struct Report(syn::Error);

impl Report {
    /// The mistakes, and the item as it was: its callers still find it, and editors still complete inside it.
    pub(crate) fn with_item(self, item: TokenStream) -> TokenStream {
        let mut tokens = self.0.into_compile_error();
        tokens.extend(item);
        tokens
    }
}

/// The known name that `wrong` was probably meant to be.
pub(crate) fn suggest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (distance, name) = known.into_iter().map(|name| (edits(wrong, name), name)).min()?;
    (distance <= wrong.len().max(name.len()) / 3).then_some(name)
}

/// How many characters must be put in, left out, changed or swapped with their neighbour to get from `a` to `b`
/// (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            table[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                let swap = if swapped { table[i - 2][j - 2] + 1 } else { usize::MAX };
                change.min(swap).min(table[i - 1][j] + 1).min(table[i][j - 1] + 1)
            };
        }
    }
    table[a.len()][b.len()]
}

/// `` `a`, `b` `` for a sentence.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// `` `a`, `b` and `c` `` for a sentence about each of them.
pub(crate) fn all(names: impl IntoIterator<Item = impl Display>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}
