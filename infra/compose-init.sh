#!/bin/bash
# The first start of docker-compose's Postgres: two databases, and two logins that own nothing of each other's.
# psql reads the passwords from the environment itself: as arguments they would stand in the process list.
set -e
psql -v ON_ERROR_STOP=1 -U postgres <<'SQL'
\getenv pipeline PIPELINE_PASSWORD
\getenv dagster DAGSTER_PASSWORD
create role cheerful_pipeline login noinherit password :'pipeline';
create role dagster login password :'dagster';
create database cheerful;
create database dagster owner dagster;
SQL
