//! Statements as text that a connection plans once. Diesel plans its own anew each time they run when they have a list
//! (`IN`) or `ON CONFLICT`, which on SQLite costs more than running them.

use std::marker::PhantomData;

use diesel::{
    connection::Connection,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Nullable, Text, Untyped},
    sqlite::Sqlite,
};

/// A statement; each type of this trait is one, and what a connection remembers its plan by.
pub trait Statement: 'static {
    /// `?` stands for a value, and for nothing else.
    const SQL: &'static str;
}

/// A value of a statement.
#[derive(Clone, Copy)]
pub enum Value<'a> {
    Integer(i64),
    MaybeInteger(Option<i64>),
    Text(&'a str),
    MaybeText(Option<&'a str>),
    /// What stands behind `IN`: texts, as JSON.
    List(&'a str),
}

/// A statement with its values, as many as it has `?`, and always of the same kinds.
#[derive(Clone, Copy)]
pub struct Planned<'a, S> {
    values: &'a [Value<'a>],
    statement: PhantomData<S>,
}

/// A statement to be executed or loaded.
pub fn planned<'a, S: Statement>(values: &'a [Value<'a>]) -> Planned<'a, S> {
    Planned { values, statement: PhantomData }
}

/// For each backend: what a [`Value::List`] is read with.
macro_rules! walk {
    ($backend:ty, $list:literal, $end:literal) => {
        impl<S: Statement> QueryFragment<$backend> for Planned<'_, S> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                let mut values = self.values.iter();
                for (n, text) in S::SQL.split('?').enumerate() {
                    match if n == 0 { None } else { values.next() } {
                        None => {}
                        Some(Value::Integer(value)) => out.push_bind_param::<BigInt, _>(value)?,
                        Some(Value::MaybeInteger(value)) => out.push_bind_param::<Nullable<BigInt>, _>(value)?,
                        Some(Value::Text(value)) => out.push_bind_param::<Text, _>(value)?,
                        Some(Value::MaybeText(value)) => out.push_bind_param::<Nullable<Text>, _>(value)?,
                        Some(Value::List(json)) => {
                            out.push_sql($list);
                            out.push_bind_param::<Text, _>(json)?;
                            out.push_sql($end);
                        }
                    }
                    out.push_sql(text);
                }
                Ok(())
            }
        }
    };
}

walk!(Sqlite, "(SELECT value FROM json_each(", "))");
walk!(Pg, "(SELECT value FROM json_array_elements_text(CAST(", " AS json)))");

impl<S: Statement> QueryId for Planned<'_, S> {
    type QueryId = Planned<'static, S>;
}

impl<S> Query for Planned<'_, S> {
    type SqlType = Untyped;
}

impl<S, C: Connection> RunQueryDsl<C> for Planned<'_, S> {}

/// Values that travel as one parameter, such as those of a [`Value::List`].
pub fn json<T: serde::Serialize>(values: &T) -> QueryResult<String> {
    serde_json::to_string(values).map_err(|error| diesel::result::Error::SerializationError(error.into()))
}
