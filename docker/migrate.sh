#!/bin/sh
# Brings a plain PostgreSQL to where a hosted Supabase project is: the roles of the API, and
# every migration of /migrations that it lacks, each in a transaction that also records it.
set -eu

psql_strict() {
  psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 "$@"
}

psql_strict --set password="$PGPASSWORD" <<'SQL'
select 'create role anon nologin noinherit'
  where not exists (select from pg_roles where rolname = 'anon') \gexec
select 'create role authenticated nologin noinherit'
  where not exists (select from pg_roles where rolname = 'authenticated') \gexec
select 'create role service_role nologin noinherit bypassrls'
  where not exists (select from pg_roles where rolname = 'service_role') \gexec
select 'create role authenticator login noinherit'
  where not exists (select from pg_roles where rolname = 'authenticator') \gexec
alter role authenticator password :'password';
grant anon, authenticated, service_role to authenticator;
grant usage on schema public to anon, authenticated, service_role;
alter default privileges in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges in schema public grant all on sequences to anon, authenticated, service_role;
alter default privileges in schema public grant all on functions to anon, authenticated, service_role;
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text primary key,
  statements text[],
  name text
);
SQL

for file in /migrations/*.sql; do
  name=$(basename "$file" .sql)
  version=${name%%_*}
  known=$(psql_strict --tuples-only --no-align --command \
    "select 1 from supabase_migrations.schema_migrations where version = '$version'")
  if [ -n "$known" ]; then continue; fi
  echo "applying $name"
  psql_strict --single-transaction --file "$file" --command \
    "insert into supabase_migrations.schema_migrations (version, name) values ('$version', '${name#*_}')"
done
psql_strict --command "notify pgrst, 'reload schema'"
