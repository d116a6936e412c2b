//! Rows and values between Diesel and tokio-postgres: both speak the binary format, so nothing is converted.

use std::{error::Error, num::NonZeroU32, ops::Range, sync::Arc};

use diesel::{
    backend::Backend,
    pg::{Pg, PgTypeMetadata, PgValue, TypeOidLookup},
    row::{Field, PartialRow, Row as DieselRow, RowIndex, RowSealed},
};
use tokio_postgres::{
    Row,
    types::{FromSql, IsNull, ToSql, Type, private::BytesMut},
};

/// Of a type that Postgres itself does not know yet: "unknown".
const UNKNOWN: NonZeroU32 = NonZeroU32::new(705).unwrap();

/// The type of a column.
pub struct Oid(NonZeroU32);

impl TypeOidLookup for Oid {
    fn lookup(&self) -> NonZeroU32 {
        self.0
    }
}

/// The types of a result's columns.
pub fn oids(row: &Row) -> Arc<[Oid]> {
    row.columns().iter().map(|column| Oid(NonZeroU32::new(column.type_().oid()).unwrap_or(UNKNOWN))).collect()
}

/// A row of a result.
pub struct PgRow {
    pub(super) row: Row,
    pub(super) oids: Arc<[Oid]>,
}

impl RowSealed for PgRow {}

impl<'a> DieselRow<'a, Pg> for PgRow {
    type Field<'f>
        = PgField<'f>
    where
        'a: 'f,
        Self: 'f;
    type InnerPartialRow = Self;

    fn field_count(&self) -> usize {
        self.row.len()
    }

    fn get<'b, I>(&'b self, index: I) -> Option<Self::Field<'b>>
    where
        'a: 'b,
        Self: RowIndex<I>,
    {
        let at = self.idx(index)?;
        Some(PgField { row: &self.row, oid: self.oids.get(at)?, at })
    }

    fn partial_row(&self, range: Range<usize>) -> PartialRow<'_, Self::InnerPartialRow> {
        PartialRow::new(self, range)
    }
}

impl RowIndex<usize> for PgRow {
    fn idx(&self, index: usize) -> Option<usize> {
        (index < self.row.len()).then_some(index)
    }
}

impl<'a> RowIndex<&'a str> for PgRow {
    fn idx(&self, name: &'a str) -> Option<usize> {
        self.row.columns().iter().position(|column| column.name() == name)
    }
}

/// A column of a row.
pub struct PgField<'a> {
    row: &'a Row,
    oid: &'a Oid,
    at: usize,
}

impl<'a> Field<'a, Pg> for PgField<'a> {
    fn field_name(&self) -> Option<&str> {
        self.row.columns().get(self.at).map(tokio_postgres::Column::name)
    }

    fn value(&self) -> Option<<Pg as Backend>::RawValue<'_>> {
        let Raw(bytes) = self.row.try_get(self.at).ok()?;
        bytes.map(|bytes| PgValue::new(bytes, self.oid))
    }
}

/// A value as it came over the wire.
struct Raw<'a>(Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(raw)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A value as Diesel wrote it.
#[derive(Debug)]
pub struct Bound(pub Option<Vec<u8>>);

impl ToSql for Bound {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match &self.0 {
            Some(bytes) => {
                out.extend_from_slice(bytes);
                Ok(IsNull::No)
            }
            None => Ok(IsNull::Yes),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(kind, out)
    }
}

/// Only built-in SQL types are used, so tokio-postgres knows each of them.
pub fn kind(metadata: &PgTypeMetadata) -> diesel::QueryResult<Type> {
    let oid = metadata.oid().map_err(|error| diesel::result::Error::SerializationError(error.to_string().into()))?;
    Type::from_oid(oid).ok_or_else(|| diesel::result::Error::SerializationError(format!("type {oid}").into()))
}
