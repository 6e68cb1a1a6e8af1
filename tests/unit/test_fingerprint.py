"""A database belongs to the station whose secret it saw first."""

import pytest

from yiapi.db import Query, Row, Transaction
from yiapi.fingerprint import kept_fingerprint, recognise
from yiapi.secrets import SecretUnusable, ServerSecret

pytestmark = pytest.mark.anyio

OTHER = ServerSecret("another-secret-of-the-tests-0123456789")


class StartedTogether(Transaction):
    """A process that looked at the new database before another one wrote: its first look finds nothing."""

    has_looked = False

    def one(self, query: Query, **params) -> Row | None:
        if self.has_looked:
            return super().one(query, **params)
        self.has_looked = True
        return None


async def test_a_new_database_keeps_the_first_secret_and_refuses_another(database, secret):
    await database.write(lambda tx: recognise(tx, secret))
    await database.write(lambda tx: recognise(tx, secret))

    assert await database.read(kept_fingerprint) == secret.fingerprint()
    with pytest.raises(SecretUnusable, match="another secret"):
        await database.write(lambda tx: recognise(tx, OTHER))
    assert await database.read(kept_fingerprint) == secret.fingerprint()


async def test_processes_that_start_together_on_a_new_database_do_not_refuse_each_other(database, secret):
    await database.write(lambda tx: recognise(tx, secret))

    await database.write(lambda tx: recognise(StartedTogether(tx._connection), secret))

    with pytest.raises(SecretUnusable, match="another secret"):
        await database.write(lambda tx: recognise(StartedTogether(tx._connection), OTHER))
