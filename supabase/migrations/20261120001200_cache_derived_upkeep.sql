-- What three functions of earlier migrations do from now on, because there are derived values:
-- cache_erase and cache_prune as they were, with a part about cache_derived at their end, and
-- cache_connect, which says how far the migrations came. They take what they took and answer what
-- they answered, and something more: caches of the version before go on with them.

-- Raised by every migration that adds what the cache needs from then on. A cache asks for at
-- least the revision that it was built with, so it notices that migrations are missing.
-- (schema_version is raised where older caches can't go on.)
alter table public.cache_settings add column revision integer not null default 1;
update public.cache_settings s set revision = 2;

create or replace function public.cache_connect(shards text)
returns json
language plpgsql
set search_path = ''
as $$
declare
  kept public.cache_settings;
begin
  select * into strict kept from public.cache_settings s;
  if kept.shards is null then
    update public.cache_settings s set shards = cache_connect.shards::integer where s.shards is null;
    select * into strict kept from public.cache_settings s;
  end if;
  return json_build_object(
    'schema', kept.schema_version, 'shards', kept.shards, 'revision', kept.revision
  );
end
$$;

-- {addresses: [[namespace, key, kind], ...], records, items, deadLetters, derived}: what is
-- derived has no address here, because Redis is told of it by the scope's name. Its rows go and
-- the name is noted down in the one transaction with the fence. The cache's last lock is taken
-- only here, at the end, so that an erasure of many records holds up no load.
create or replace function public.cache_erase(scope_kind text, scope_id text, version text)
returns json
language plpgsql
set search_path = ''
as $$
declare
  in_kind constant text := cache_erase.scope_kind;
  in_id constant text := cache_erase.scope_id;
  fence bigint := cache_erase.version::bigint;
  addresses json;
  records bigint;
  items bigint;
  letters bigint;
  results bigint;
  highest bigint;
begin
  perform pg_catalog.pg_advisory_xact_lock(1080246627, public.cache_scope_lock(in_kind, in_id));
  -- In the order in which writers lock rows: those that name another scope now also come here.
  perform from public.cache_entries e where e.scope_kind = in_kind and e.scope_id = in_id
  order by e.namespace, e.key for update;
  perform from public.cache_logs l where l.scope_kind = in_kind and l.scope_id = in_id
  order by l.namespace, l.key for update;

  select greatest(
    fence, public.cache_fence(in_kind, in_id),
    (select max(e.version) from public.cache_entries e where e.scope_kind = in_kind and e.scope_id = in_id),
    (select max(l.version) from public.cache_logs l where l.scope_kind = in_kind and l.scope_id = in_id)
  ) into fence;
  insert into public.cache_erase_fences as f (scope_kind, scope_id, version)
  values (in_kind, in_id, fence)
  on conflict on constraint cache_erase_fences_pkey do update
  set version = excluded.version, erased_at = now();

  with gone_items as (
    delete from public.cache_log_items i using public.cache_logs l
    where l.scope_kind = in_kind and l.scope_id = in_id
      and i.namespace = l.namespace and i.key = l.key
    returning 1
  ),
  gone_logs as (
    delete from public.cache_logs l where l.scope_kind = in_kind and l.scope_id = in_id
    returning l.namespace, l.key
  ),
  gone_values as (
    delete from public.cache_entries e where e.scope_kind = in_kind and e.scope_id = in_id
    returning e.namespace, e.key
  ),
  gone_letters as (
    delete from public.cache_dead_letters d where d.scope_kind = in_kind and d.scope_id = in_id
    returning 1
  ),
  gone as (
    select v.namespace, v.key, 'value' as kind from gone_values v
    union all
    select l.namespace, l.key, 'log' from gone_logs l
  ),
  marked as (
    insert into public.cache_bypass_marks (namespace, key, kind, version, intent)
    select g.namespace, g.key, g.kind, fence, 9007199254740991 from gone g
    order by g.namespace, g.key, g.kind desc
  )
  select
    (
      select coalesce(json_agg(json_build_array(g.namespace, g.key, g.kind)
        order by g.namespace, g.key, g.kind desc), '[]'::json)
      from gone g
    ),
    (select count(*) from gone_values), (select count(*) from gone_items),
    (select count(*) from gone_letters)
  into addresses, records, items, letters;

  perform public.cache_derived_note(
    array['s:' || in_kind || '/' || in_id], public.cache_derived_next()
  );
  with gone as (
    delete from public.cache_derived d where d.scope_kind = in_kind and d.scope_id = in_id
    returning d.version
  )
  select count(*), max(g.version) into results, highest from gone g;
  update public.cache_erase_fences f set derived = greatest(f.derived, highest)
  where f.scope_kind = in_kind and f.scope_id = in_id;
  return json_build_object(
    'addresses', addresses, 'records', records, 'items', items, 'deadLetters', letters,
    'derived', results
  );
end
$$;

-- As before, and derived values whose life is over by the clock of this server, at most
-- `max_rows` of them. Nothing has to be remembered of those.
create or replace function public.cache_prune(
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
  results bigint;
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

  with over as (
    select d.namespace, d.key from public.cache_derived d
    where d.expires_at <= now()
    order by d.expires_at
    limit most
    for update skip locked
  )
  delete from public.cache_derived d using over o
  where d.namespace = o.namespace and d.key = o.key;
  get diagnostics results = row_count;
  return json_build_object(
    'values', forgotten, 'marks', marks, 'derived', results,
    'more', greatest(forgotten, marks, results) >= most
  );
end
$$;
