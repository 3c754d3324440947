#!/bin/bash
# The first start of docker-compose's Postgres: two databases, and two logins that own nothing of each other's.
set -e
psql -v ON_ERROR_STOP=1 -U postgres -v pipeline="$PIPELINE_PASSWORD" -v dagster="$DAGSTER_PASSWORD" <<'SQL'
create role cheerful_pipeline login noinherit password :'pipeline';
create role dagster login password :'dagster';
create database cheerful;
create database dagster owner dagster;
SQL
