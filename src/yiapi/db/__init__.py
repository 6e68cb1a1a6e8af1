"""Storage: one code base for SQLite and PostgreSQL, SQL with names, grouped commits, versioned migrations."""

from yiapi.db.bell import Bell
from yiapi.db.connect import Connection, connect
from yiapi.db.database import Database, Group, Job, Transaction
from yiapi.db.faults import ConflictInDatabase, DuplicateRow, Row, RowRefused
from yiapi.db.migrate import SchemaMismatch, migrate, migrations
from yiapi.db.sql import Query, queries

__all__ = [
    "Bell",
    "ConflictInDatabase",
    "Connection",
    "Database",
    "DuplicateRow",
    "Group",
    "Job",
    "Query",
    "Row",
    "RowRefused",
    "SchemaMismatch",
    "Transaction",
    "connect",
    "migrate",
    "migrations",
    "queries",
]
