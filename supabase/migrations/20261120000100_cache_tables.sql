-- What the cache keeps in PostgreSQL: the truth that every faster copy answers to.
--
--   cache_entries       the newest write of each value, tombstones included
--   cache_logs          one row per log: how far it was deleted, its highest version, its size
--   cache_log_items     what was appended, each item under the version with which its id came first
--   cache_bypass_marks  writes that reached this database without passing Redis, until Redis knows
--   cache_dead_letters  writes that could not be stored, kept word for word for an operator
--   cache_erase_fences  which scopes were erased, and up to which version
--   cache_settings      one row about the whole: schema version, shards, highest pruned version
--
-- Versions, intents and times are bigint: whole numbers below 2^53, exact in JavaScript, in
-- Lua and here. Times are milliseconds since 1970 and 0 means never, because they are compared
-- with the writer's clock and have to come back as the very number that was written;
-- `to_timestamp(expires_at / 1000.0)` shows one to a human.
--
-- A JSON value is kept as `json`, not `jsonb`: `json` keeps the text as it was sent, so key
-- order, number notation and \u0000 survive, and it can still be queried with -> and ->>.
--
-- Text that takes part in an order or a key has the collation "C": the order of its UTF-8
-- bytes, which is the order of code points, the same on every server and in the cache's own
-- comparisons, and indifferent to upgrades of the system's locales.
--
-- Access: row level security is on without a single policy and every privilege is revoked, so
-- `anon` and `authenticated` can neither read nor write. Only `service_role`, which bypasses
-- row level security, is granted the rows that it needs.

create table public.cache_entries (
  namespace text collate "C" not null,
  key text collate "C" not null,
  version bigint not null,
  intent bigint not null,
  deleted boolean not null default false,
  codec text,
  value json,
  body bytea,
  expires_at bigint not null default 0,
  scope_kind text collate "C",
  scope_id text collate "C",
  tags text[] collate "C" not null default '{}',
  updated_at timestamptz not null default now(),
  primary key (namespace, key),
  constraint cache_entries_payload_fits_codec check (
    case
      when deleted then codec is null and value is null and body is null
      when codec = 'json' then value is not null and body is null
      when codec in ('bytes', 'structured') then value is null and body is not null
      else false
    end
  ),
  constraint cache_entries_scope_is_whole check ((scope_kind is null) = (scope_id is null))
);

create index cache_entries_by_scope on public.cache_entries (scope_kind, scope_id)
  where scope_kind is not null;
create index cache_entries_by_tag on public.cache_entries using gin (tags)
  where not deleted and tags <> '{}';
-- The highest version is asked for whenever a Redis begins a new epoch.
create index cache_entries_by_version on public.cache_entries (version);
-- What cache_prune walks: tombstones by age, and lives that have an end.
create index cache_entries_deleted on public.cache_entries (version) where deleted;
create index cache_entries_expiring on public.cache_entries (expires_at)
  where not deleted and expires_at > 0;

create table public.cache_logs (
  namespace text collate "C" not null,
  key text collate "C" not null,
  -- Items at or below it are dead; 0: never deleted.
  erased_to bigint not null default 0,
  -- The highest version that this log ever had, its deletion included.
  version bigint not null default 0,
  -- How many items it has.
  size bigint not null default 0,
  scope_kind text collate "C",
  scope_id text collate "C",
  updated_at timestamptz not null default now(),
  primary key (namespace, key),
  constraint cache_logs_scope_is_whole check ((scope_kind is null) = (scope_id is null))
);

create index cache_logs_by_scope on public.cache_logs (scope_kind, scope_id)
  where scope_kind is not null;
create index cache_logs_by_version on public.cache_logs (version);

-- No foreign key to cache_logs: its row is locked by whoever touches the items, and a trigger
-- per item would cost more than the insert itself.
create table public.cache_log_items (
  namespace text collate "C" not null,
  key text collate "C" not null,
  id text collate "C" not null,
  version bigint not null,
  codec text not null,
  item json,
  body bytea,
  primary key (namespace, key, id),
  constraint cache_log_items_payload_fits_codec check (
    case
      when codec = 'json' then item is not null and body is null
      when codec in ('bytes', 'structured') then item is null and body is not null
      else false
    end
  )
);

-- A log is read in the order (version, id), from either end.
create index cache_log_items_in_order on public.cache_log_items (namespace, key, version, id);

create table public.cache_bypass_marks (
  id bigint generated always as identity primary key,
  namespace text collate "C" not null,
  key text collate "C" not null,
  kind text not null check (kind in ('value', 'log')),
  version bigint not null,
  intent bigint not null,
  created_at timestamptz not null default now()
);

create index cache_bypass_marks_by_age on public.cache_bypass_marks (created_at);

-- `payload` is what was sent: the text of a JSON value, base64 of any other, and for a log the
-- JSON array of its items. It is `text` and carries no check, so that keeping it cannot fail.
create table public.cache_dead_letters (
  id bigint generated always as identity primary key,
  namespace text collate "C" not null,
  key text collate "C" not null,
  kind text not null check (kind in ('value', 'log')),
  -- Of a log: the lowest version of what was sent, so that a later attempt, which carries more
  -- items, is the same letter. A log has no intent: 0.
  version bigint not null,
  intent bigint not null,
  codec text,
  payload text,
  expires_at bigint not null default 0,
  erased_to bigint not null default 0,
  scope_kind text collate "C",
  scope_id text collate "C",
  tags text,
  reason text not null,
  attempts integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (namespace, key, kind, version, intent)
);

create index cache_dead_letters_by_scope on public.cache_dead_letters (scope_kind, scope_id)
  where scope_kind is not null;

create table public.cache_erase_fences (
  scope_kind text collate "C" not null,
  scope_id text collate "C" not null,
  version bigint not null,
  erased_at timestamptz not null default now(),
  primary key (scope_kind, scope_id)
);

create index cache_erase_fences_by_version on public.cache_erase_fences (version);

create table public.cache_settings (
  singleton boolean primary key default true check (singleton),
  -- Raised by a migration that changes what the functions take or answer.
  schema_version integer not null,
  -- Fixed by the first cache that connects; keys live in shards by it.
  shards integer,
  -- The highest version among pruned rows: an older write of an absent row can't be placed.
  pruned_version bigint not null default 0
);

insert into public.cache_settings (schema_version) values (1);

alter table public.cache_entries enable row level security;
alter table public.cache_logs enable row level security;
alter table public.cache_log_items enable row level security;
alter table public.cache_bypass_marks enable row level security;
alter table public.cache_dead_letters enable row level security;
alter table public.cache_erase_fences enable row level security;
alter table public.cache_settings enable row level security;

revoke all on public.cache_entries, public.cache_logs, public.cache_log_items,
  public.cache_bypass_marks, public.cache_dead_letters, public.cache_erase_fences,
  public.cache_settings from public, anon, authenticated;
revoke all on sequence public.cache_bypass_marks_id_seq, public.cache_dead_letters_id_seq
  from public, anon, authenticated;

grant select, insert, update, delete on public.cache_entries, public.cache_logs,
  public.cache_log_items, public.cache_bypass_marks, public.cache_dead_letters,
  public.cache_erase_fences to service_role;
grant select, update on public.cache_settings to service_role;
