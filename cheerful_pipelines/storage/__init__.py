"""Postgres tables, engine, migrations, blobs and sealed credentials. No rule of the business belongs here."""
