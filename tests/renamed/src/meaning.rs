//! Functions that compare meanings, without a prelude.

#![no_implicit_prelude]

use ::serde::Serialize;
use ::sharing::semantic_coalesce;
use ::std::borrow::ToOwned;
use ::std::clone::Clone;
use ::std::convert::Infallible;
use ::std::format;
use ::std::result::Result::{self, Ok};
use ::std::string::String;
use ::std::vec::Vec;

/// Points to one of two directions.
///
/// # Errors
/// It has none.
pub async fn embed(text: String) -> Result<Vec<f32>, Infallible> {
    Ok(::std::vec![1.0, if text.ends_with('!') { -1.0 } else { 1.0 }])
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct User {
    /// Whose they are.
    pub organisation: String,
}

impl User {
    fn tenant(&self) -> String {
        self.organisation.clone()
    }
}

/// Nothing but a question.
#[semantic_coalesce(embed = embed, crate = ::sharing)]
pub async fn question(question: &str) -> String {
    question.to_owned()
}

/// All that only this attribute takes, and names that an expansion could clash with.
#[semantic_coalesce(
    query = value,
    tenant = question.tenant(),
    key(tenant, key),
    threshold = 0.9,
    embed = embed,
    guard(numbers, quoted),
    crate = crate::facade::stampede
)]
pub async fn everything(question: &User, tenant: u8, key: f32, value: String) -> Result<String, String> {
    Ok(format!("{}{tenant}{key}{value}", question.organisation))
}

/// A request.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// What is asked.
    pub text: String,
    /// Whom.
    pub model: u8,
}

/// A question in a field, of a function that is not async.
#[semantic_coalesce(query = request.text, key(request.model), guard = none, crate = ::sharing)]
#[must_use]
pub fn field(request: &Request) -> String {
    request.text.clone()
}
