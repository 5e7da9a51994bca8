-- Erasing one scope: everything that names it goes, tombstones and dead letters too, and a
-- fence stays in its place, in one transaction. Writers of this scope wait outside meanwhile
-- (see cache_lock_for_write), so each of them either is deleted here or meets the fence.
--
-- The fence is at the highest of the version asked for, the fence before and whatever went, so
-- that nothing of it can come back from an outbox, a journal or another instance. Every key that
-- went leaves a bypass mark above all its versions, so that Redis lets go of its copy too, even
-- where whoever erases can't reach it.

-- {addresses: [[namespace, key, kind], ...], records, items, deadLetters}
create function public.cache_erase(scope_kind text, scope_id text, version text)
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
  return json_build_object(
    'addresses', addresses, 'records', records, 'items', items, 'deadLetters', letters
  );
end
$$;

revoke execute on function public.cache_erase(text, text, text) from public, anon, authenticated;
grant execute on function public.cache_erase(text, text, text) to service_role;
