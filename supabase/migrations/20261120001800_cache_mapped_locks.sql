-- Mapped tables: who waits for whom. A program that writes the table locks its row, and then, in its
-- trigger, the one in cache_entries. So the cache locks them in this order, too: no two of them can
-- wait for each other in a circle.
--
-- What is left is several rows locked in another order than the cache's, a row that is inserted by
-- both, and an erasure, which deletes what it finds. There the cache gives up long before
-- deadlock_timeout would choose somebody: its call has no effect, and comes again.

update public.cache_settings s set revision = greatest(s.revision, 5);

-- Locks the rows of mapped tables that these writes will change, in the order of namespace and key.
-- A program that keeps one for longer than this holds up the call.
create function public.cache_lock_mapped(namespaces text[], keys text[])
returns void
language plpgsql
set search_path = ''
set lock_timeout = '500ms'
as $$
declare
  m public.cache_mapped_tables;
  parts text[];
  last text;
  one record;
begin
  if not exists (select from public.cache_mapped_tables) then
    return;
  end if;
  for one in
    select t.namespace, a.key
    from unnest(namespaces, keys) as a (namespace, key)
    join public.cache_mapped_tables t on t.namespace = a.namespace
    order by t.namespace, a.key collate "C"
  loop
    if one.namespace is distinct from last then
      select * into strict m from public.cache_mapped_tables t where t.namespace = one.namespace;
      last := one.namespace;
    end if;
    parts := public.cache_mapped_parts(m.key, one.key);
    begin
      execute format(
        'select 1 from %1$s t, json_populate_record(null::%1$s, $1) r where %2$s for no key update of t',
        m.relation, (select string_agg(format('t.%1$I = r.%1$I', k), ' and ') from unnest(m.key) k)
      ) using (
        select json_object_agg(k.name, parts[k.place])
        from unnest(m.key) with ordinality as k (name, place)
      );
    exception when others then
      -- What is wrong with a row or its table is said where it is written, and costs that row alone.
      if left(sqlstate, 2) <> '42' and not public.cache_is_data_error(sqlstate) then
        raise;
      end if;
    end;
  end loop;
end
$$;

-- As before, and the rows of mapped tables are locked first.
create or replace function public.cache_apply(
  namespaces text[], keys text[], codecs text[], payloads text[], versions text[],
  intents text[], expires text[], scope_kinds text[], scope_ids text[], tags text[],
  marks text[], absents text[], bases text[], at text,
  keeps text[] default null
)
returns json
language plpgsql
set search_path = ''
as $$
declare
  replies text[] := array_fill(''::text, array[coalesce(cardinality(namespaces), 0)]);
  pruned bigint;
  i integer;
  broken text;
begin
  perform public.cache_lock_for_write(scope_kinds, scope_ids);
  perform public.cache_lock_mapped(namespaces, keys);
  select s.pruned_version into strict pruned from public.cache_settings s;
  for i in
    select r.place::integer
    from unnest(namespaces, keys) with ordinality as r (namespace, key, place)
    order by r.namespace collate "C", r.key collate "C", r.place
  loop
    begin
      replies[i] := public.cache_apply_row(
        namespaces[i], keys[i], codecs[i], payloads[i], versions[i]::bigint, intents[i]::bigint,
        expires[i]::bigint, scope_kinds[i], scope_ids[i], tags[i], marks[i]::boolean,
        absents[i]::boolean, bases[i], pruned, at::bigint
      )::text;
    exception when others then
      if not public.cache_is_data_error(sqlstate) then
        raise;
      end if;
      get stacked diagnostics broken = constraint_name;
      -- What its writer was refused is nobody's to keep: nobody was told that it is held.
      if bases[i] = 'any' and coalesce(keeps[i]::boolean, true) then
        perform public.cache_keep_dead_letter(
          namespaces[i], keys[i], 'value', versions[i]::bigint, intents[i]::bigint, codecs[i],
          payloads[i], expires[i]::bigint, 0, scope_kinds[i], scope_ids[i], tags[i],
          concat_ws(' ', sqlstate, sqlerrm)
        );
      end if;
      replies[i] := json_build_object(
        'status', 'refused', 'reason', concat_ws(' ', sqlstate, nullif(broken, ''))
      )::text;
    end;
  end loop;
  perform public.cache_resolve_values(namespaces, keys, versions, intents, replies);
  return ('[' || array_to_string(replies, ',') || ']')::json;
end
$$;

revoke execute on function public.cache_lock_mapped(text[], text[]) from public, anon, authenticated;
grant execute on function public.cache_lock_mapped(text[], text[]) to service_role;
