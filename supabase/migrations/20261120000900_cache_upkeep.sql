-- Upkeep, for an operator or a schedule: `select cache_prune()` forgets what is long over and is
-- best called once a day; call it again while it answers "more".
--
-- Forgetting a tombstone is the one deletion after which an older write could come back. So the
-- highest version forgotten is kept, and a write at or below it to a key that is not there is
-- answered `expired` and kept as a dead letter.

-- Tombstones and expired values whose version is at or below `before` (left out: 30 days before
-- `at`), and bypass marks of that age, at most `max_rows` of each. `at` is in milliseconds since
-- 1970 (left out: now); a version counts 4096 to the millisecond since 2020-01-01.
create function public.cache_prune(
  before text default null, at text default null, max_rows text default '10000'
)
returns json
language plpgsql
set search_path = ''
as $$
declare
  in_at constant bigint := coalesce(
    cache_prune.at::bigint, (extract(epoch from clock_timestamp()) * 1000)::bigint
  );
  in_before constant bigint := coalesce(
    cache_prune.before::bigint, greatest(0, in_at - 2592000000 - 1577836800000) * 4096
  );
  most constant bigint := max_rows::bigint;
  forgotten bigint;
  highest bigint;
  marks bigint;
begin
  -- No write may be between its look at an absent row and its insert.
  perform pg_catalog.pg_advisory_xact_lock(1080246627, 0);
  with over as (
    select e.namespace, e.key from public.cache_entries e
    where e.version <= in_before
      and (e.deleted or (e.expires_at > 0 and e.expires_at <= in_at))
    order by e.namespace, e.key
    limit most
    for update skip locked
  ),
  gone as (
    delete from public.cache_entries e using over o
    where e.namespace = o.namespace and e.key = o.key
    returning e.version
  )
  select count(*), max(g.version) into forgotten, highest from gone g;
  update public.cache_settings s set pruned_version = highest where s.pruned_version < highest;

  with gone as (
    delete from public.cache_bypass_marks m
    where m.id in (
      select b.id from public.cache_bypass_marks b
      where b.created_at < to_timestamp((in_before / 4096 + 1577836800000) / 1000.0)
      order by b.id
      limit most
    )
    returning 1
  )
  select count(*) into marks from gone;
  return json_build_object(
    'values', forgotten, 'marks', marks, 'more', greatest(forgotten, marks) >= most
  );
end
$$;

create function public.cache_dead_letter_count()
returns json
language sql
stable
set search_path = ''
as $$
  select to_json(count(*)) from public.cache_dead_letters
$$;

revoke execute on function public.cache_prune(text, text, text) from public, anon, authenticated;
revoke execute on function public.cache_dead_letter_count() from public, anon, authenticated;

grant execute on function public.cache_prune(text, text, text) to service_role;
grant execute on function public.cache_dead_letter_count() to service_role;
