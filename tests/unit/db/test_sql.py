"""One SQL for two databases: every named statement is understood by both, and none is dead."""

import re
from pathlib import Path

import psycopg
import pytest

import yiapi
from yiapi.db.connect import connect
from yiapi.db.sql import Queries, queries, query_of

FOLDER = Path(yiapi.__file__).parent / "db" / "queries"
CONCERNS = sorted(path.stem for path in FOLDER.glob("*.sql"))
WORD = re.compile(r"\w+")


def test_a_parameter_is_written_for_each_database():
    query = query_of("x", "SELECT * FROM t WHERE a = :a_1 AND b = :b;")

    assert query.sqlite == "SELECT * FROM t WHERE a = :a_1 AND b = :b"
    assert query.postgresql == "SELECT * FROM t WHERE a = $1 AND b = $2"
    assert query.names == ("a_1", "b")


def test_a_cast_is_no_parameter_and_a_percent_sign_means_itself():
    query = query_of("x", "SELECT a::text FROM t WHERE a LIKE '5%' AND b = :b")

    assert query.postgresql == "SELECT a::text FROM t WHERE a LIKE '5%' AND b = $1"


def test_a_part_may_be_for_postgresql_alone():
    query = query_of("x", "SELECT a FROM t /*postgresql*/FOR UPDATE OF t/*end*/ LIMIT :n")

    assert query.sqlite == "SELECT a FROM t  LIMIT :n"
    assert query.postgresql == "SELECT a FROM t FOR UPDATE OF t LIMIT $1"


def test_comments_are_no_part_of_a_statement():
    assert query_of("x", "-- why: :this\nSELECT 1\n  -- and :that\nFROM t").sqlite == "SELECT 1\n\nFROM t"


def test_a_file_without_a_name_is_no_concern():
    with pytest.raises(FileNotFoundError):
        Queries("nowhere")


def test_an_unknown_statement_is_an_attribute_that_is_not_there():
    with pytest.raises(AttributeError):
        _ = queries("pricing").no_such_statement


def statements(concern):
    return queries(concern)._queries


@pytest.mark.parametrize("concern", CONCERNS)
def test_sqlite_understands_every_statement(sqlite_url, clock, concern):
    connection = connect(sqlite_url, clock)

    for query in statements(concern).values():
        connection._db.execute(f"EXPLAIN {query.sqlite}", dict.fromkeys(query.names))
    connection.close()


def test_postgresql_understands_every_statement(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        for concern in CONCERNS:
            for name, query in statements(concern).items():
                connection.execute(f"PREPARE {concern}_{name} AS {query.postgresql}")


def test_no_statement_is_dead():
    words = {word for path in Path(yiapi.__file__).parent.rglob("*.py") for word in WORD.findall(path.read_text())}

    dead = [f"{concern}.{name}" for concern in CONCERNS for name in statements(concern) if name not in words]

    assert dead == []
