-- Derived values that are to outlive Redis: what a loader computed, for as long as it lives.
--
--   cache_derived        the newest result of each key
--   cache_derived_notes  which tags, scopes and keys were invalidated, and under which number
--
-- Nothing of it is the truth: whatever is in doubt is answered as if it were not there, and is
-- computed again. What can't be stored is no dead letter.
--
-- The sequence. `derived_sequence` only grows. Each invalidation, removal, erasure and each value
-- that somebody sets takes the next number and notes it down for every name that it concerns:
-- 't:<tag>', 's:<scope kind>/<scope id>', 'k:<namespace>/<key>' (a namespace and a scope's kind
-- hold no slash). A load is told the number when it begins and quotes it when it is stored. It is
-- void where one of its names has a note above that number. What is stored is void once one of
-- its tags or its scope has one; of its key only the load has to ask, because a removal takes
-- the row with it.
--
-- The number is a column and no SQL sequence: it is seen by others exactly when the note that
-- goes with it is seen, and it comes back from a crash, a backup or a replica together with the
-- notes. (`nextval` shows a number before its transaction commits, and may give it out again
-- after a crash; then a load that had seen it would count as begun after an invalidation that it
-- began before.) So who begins a load before an invalidation commits quotes a lower number and
-- is refused, also where it began while the invalidation was under way: a load too much, never
-- an old value too many. A number that is higher than any given out comes from a database that
-- was set back, and is refused. The first number is the time, so that a database made anew
-- begins above what the one before it gave out.
--
-- The floors. At most `derived_notes` names of tags and scopes are kept, and as many of keys.
-- What was noted under the lowest numbers is forgotten first, and the highest number forgotten
-- is the floor: what is below it and bears a tag or a scope is void. The keys have a floor of
-- their own, which only loads are held against, so that many removals do not void what is stored.
--
-- Locks: one before the rows, advisory, 65 of the cache's class, behind those that the rules of
-- writing name: shared by who stores the results of loads, exclusive to who takes a number, an
-- erasure too. So a load is either stored before an invalidation, which then voids or removes it,
-- or it meets the note and the fence; and numbers are noted down in their order. It is held for
-- one call of at most some hundred rows. cache_prune does without, because it waits for no row.

create table public.cache_derived (
  namespace text collate "C" not null,
  key text collate "C" not null,
  version bigint not null,
  intent bigint not null,
  -- The loader found that there is nothing.
  no_value boolean not null default false,
  codec text,
  value json,
  body bytea,
  -- The number that the load began with.
  sequence bigint not null,
  -- What the load took, in milliseconds.
  load_ms double precision not null,
  tags text[] collate "C" not null default '{}',
  scope_kind text collate "C",
  scope_id text collate "C",
  -- By the clock of this server, unlike the times of records: nobody has to agree on them.
  fresh_until timestamptz not null,
  expires_at timestamptz not null,
  primary key (namespace, key),
  constraint cache_derived_payload_fits_codec check (
    case
      when no_value then codec is null and value is null and body is null
      when codec = 'json' then value is not null and body is null
      when codec in ('bytes', 'structured') then value is null and body is not null
      else false
    end
  ),
  constraint cache_derived_scope_is_whole check ((scope_kind is null) = (scope_id is null)),
  -- Neither infinite nor NaN, which is above infinity here: JSON has no such numbers.
  constraint cache_derived_load_is_finite check (load_ms >= 0 and load_ms < 'infinity')
);

create index cache_derived_by_scope on public.cache_derived (scope_kind, scope_id)
  where scope_kind is not null;
create index cache_derived_by_end on public.cache_derived (expires_at);

create table public.cache_derived_notes (
  tag text collate "C" primary key,
  sequence bigint not null
);

create index cache_derived_notes_of_keys on public.cache_derived_notes (sequence)
  where starts_with(tag, 'k:');
create index cache_derived_notes_of_tags on public.cache_derived_notes (sequence)
  where not starts_with(tag, 'k:');

alter table public.cache_settings
  add column derived_sequence bigint not null default 0,
  add column derived_floor bigint not null default 0,
  add column derived_key_floor bigint not null default 0,
  -- How many notes are kept of tags and scopes, and how many of keys.
  add column derived_notes integer not null default 10000 check (derived_notes > 0);

update public.cache_settings s
set derived_sequence = t.first, derived_floor = t.first, derived_key_floor = t.first
from (select (extract(epoch from clock_timestamp()) * 1000)::bigint as first) t;

-- What was erased of derived values had versions up to this one. It stands beside the fence's own
-- version, because raising that one would refuse records that nobody has erased.
alter table public.cache_erase_fences add column derived bigint not null default 0;

alter table public.cache_derived enable row level security;
alter table public.cache_derived_notes enable row level security;

revoke all on public.cache_derived, public.cache_derived_notes from public, anon, authenticated;
grant select, insert, update, delete on public.cache_derived, public.cache_derived_notes
  to service_role;

-- Keeps out everybody else who takes a number or stores a result, until this transaction ends.
create function public.cache_derived_next()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  taken bigint;
begin
  perform pg_catalog.pg_advisory_xact_lock(1080246627, 65);
  update public.cache_settings s set derived_sequence = s.derived_sequence + 1
  returning s.derived_sequence into strict taken;
  return taken;
end
$$;

-- Notes down a number that was just taken, and forgets what is too much. A number is forgotten as
-- a whole: every note that is left is above the floor.
create function public.cache_derived_note(names text[], number bigint)
returns void
language plpgsql
set search_path = ''
as $$
declare
  most bigint;
  forgotten bigint;
begin
  insert into public.cache_derived_notes as n (tag, sequence)
  select distinct t.name, number from unnest(names) as t (name)
  on conflict on constraint cache_derived_notes_pkey do update set sequence = excluded.sequence;
  select s.derived_notes into strict most from public.cache_settings s;

  select n.sequence into forgotten from public.cache_derived_notes n
  where not starts_with(n.tag, 'k:') order by n.sequence desc offset most limit 1;
  if found then
    delete from public.cache_derived_notes n
    where not starts_with(n.tag, 'k:') and n.sequence <= forgotten;
    update public.cache_settings s set derived_floor = forgotten;
  end if;

  select n.sequence into forgotten from public.cache_derived_notes n
  where starts_with(n.tag, 'k:') order by n.sequence desc offset most limit 1;
  if found then
    delete from public.cache_derived_notes n
    where starts_with(n.tag, 'k:') and n.sequence <= forgotten;
    update public.cache_settings s set derived_key_floor = forgotten;
  end if;
end
$$;

-- The three that follow are asked for every row. They are in plpgsql, which keeps their plans: a
-- function in SQL is planned anew by each statement that calls it.

create function public.cache_derived_key(namespace text, key text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return 'k:' || $1 || '/' || $2;
end
$$;

-- Whether a tag or the scope was invalidated behind `sequence`, or nobody knows any more.
create function public.cache_derived_is_void(sequence bigint, tags text[], kind text, id text)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  names text[] := array(select 't:' || t.tag from unnest($2) as t (tag));
begin
  if $3 is not null then
    names := names || ('s:' || $3 || '/' || $4);
  end if;
  return names <> '{}' and (
    $1 < (select s.derived_floor from public.cache_settings s)
    or exists (
      select from public.cache_derived_notes n where n.tag = any (names) and n.sequence > $1
    )
  );
end
$$;

-- What derived values of a scope have to be above.
create function public.cache_derived_fence(kind text, id text)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
  return coalesce((
    select greatest(f.version, f.derived) from public.cache_erase_fences f
    where f.scope_kind = $1 and f.scope_id = $2
  ), 0);
end
$$;

revoke execute on function public.cache_derived_next() from public, anon, authenticated;
revoke execute on function public.cache_derived_note(text[], bigint)
  from public, anon, authenticated;
revoke execute on function public.cache_derived_key(text, text) from public, anon, authenticated;
revoke execute on function public.cache_derived_is_void(bigint, text[], text, text)
  from public, anon, authenticated;
revoke execute on function public.cache_derived_fence(text, text) from public, anon, authenticated;

grant execute on function public.cache_derived_next() to service_role;
grant execute on function public.cache_derived_note(text[], bigint) to service_role;
grant execute on function public.cache_derived_key(text, text) to service_role;
grant execute on function public.cache_derived_is_void(bigint, text[], text, text) to service_role;
grant execute on function public.cache_derived_fence(text, text) to service_role;
