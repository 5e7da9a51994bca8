-- Logs: items are united by id, so the order in which batches arrive does not matter. The first
-- version of an id stands; a deletion names a version, and items at or below it are dead.
--
-- The row in cache_logs is the log's lock: whoever touches its items holds it. Logs are taken
-- in the order of namespace and key, like values.

-- One log; faults of the row are raised.
create function public.cache_insert_log(
  in_namespace text, in_key text, in_erased bigint, in_kind text, in_scope text,
  ids text[], versions bigint[], codecs text[], payloads text[],
  in_mark boolean, in_absent boolean
)
returns json
language plpgsql
set search_path = ''
as $$
declare
  fence constant bigint := public.cache_fence(in_kind, in_scope);
  sent constant integer := coalesce(cardinality(ids), 0);
  kept record;
  erased bigint;
  newest bigint;
  changed bigint;
  known bigint;
  dead text[];
  held bigint[];
begin
  loop
    select l.erased_to, l.version, l.size into kept
    from public.cache_logs l
    where l.namespace = in_namespace and l.key = in_key
    for update;
    exit when found;
    -- What was erased does not come back, not even as an empty row that bears its name.
    if greatest(in_erased, (select max(v) from unnest(versions) v)) <= fence then
      if in_mark then
        perform public.cache_leave_mark(in_namespace, in_key, 'log', in_erased, 0);
      end if;
      return json_build_object(
        'status', case when sent > 0 then 'erased' else 'applied' end,
        'dead', to_json(ids), 'versions', to_json(versions), 'others', false,
        'erasedTo', in_erased
      );
    end if;
    insert into public.cache_logs (namespace, key, scope_kind, scope_id)
    values (in_namespace, in_key, in_kind, in_scope)
    on conflict (namespace, key) do nothing;
  end loop;

  if in_absent and kept.size > 0 then
    select count(*) into known
    from public.cache_log_items i
    where i.namespace = in_namespace and i.key = in_key and i.id = any (ids);
    if kept.size > known then
      return json_build_object('status', 'exists');
    end if;
  end if;

  erased := greatest(kept.erased_to, in_erased);
  if erased > kept.erased_to and kept.size > 0 then
    delete from public.cache_log_items i
    where i.namespace = in_namespace and i.key = in_key and i.version <= erased;
    get diagnostics changed = row_count;
    kept.size := kept.size - changed;
  end if;
  insert into public.cache_log_items (namespace, key, id, version, codec, item, body)
  select in_namespace, in_key, s.id, s.version, s.codec,
    case when s.codec = 'json' then s.payload::json end,
    case when s.codec <> 'json' then decode(s.payload, 'base64') end
  from unnest(ids, versions, codecs, payloads) as s (id, version, codec, payload)
  where s.version > greatest(erased, fence)
  on conflict (namespace, key, id) do nothing;
  get diagnostics changed = row_count;
  kept.size := kept.size + changed;

  if changed = sent then
    -- All of it is new, which is what nearly every call brings.
    known := sent;
    held := versions;
    newest := (select max(v) from unnest(versions) v);
  else
    select
      array_agg(coalesce(i.version, s.version) order by s.place),
      array_agg(s.id order by s.place) filter (where i.id is null),
      max(i.version), count(distinct i.id)
    into held, dead, newest, known
    from unnest(ids, versions) with ordinality as s (id, version, place)
    left join public.cache_log_items i
      on i.namespace = in_namespace and i.key = in_key and i.id = s.id;
  end if;
  newest := greatest(erased, newest);

  update public.cache_logs l
  set erased_to = erased, version = greatest(l.version, newest), size = kept.size,
      scope_kind = case when l.scope_kind is null then in_kind else l.scope_kind end,
      scope_id = case when l.scope_kind is null then in_scope else l.scope_id end,
      updated_at = now()
  where l.namespace = in_namespace and l.key = in_key;

  if in_mark then
    perform public.cache_leave_mark(in_namespace, in_key, 'log', newest, 0);
  end if;
  return json_build_object(
    'status', case when dead is null then 'applied' else 'erased' end,
    'dead', coalesce(to_json(dead), '[]'::json), 'versions', coalesce(to_json(held), '[]'::json),
    'others', kept.size > known, 'erasedTo', erased
  );
end
$$;

-- A batch. The items of all logs follow each other in ids, versions, codecs and payloads;
-- `counts` says how many belong to each log.
create function public.cache_insert(
  namespaces text[], keys text[], erased text[], scope_kinds text[], scope_ids text[],
  counts text[], ids text[], versions text[], codecs text[], payloads text[],
  marks text[], absents text[]
)
returns json
language plpgsql
set search_path = ''
as $$
declare
  replies text[] := array_fill(''::text, array[coalesce(cardinality(namespaces), 0)]);
  broken text;
  r record;
begin
  perform public.cache_lock_for_write(scope_kinds, scope_ids);
  for r in
    select s.place::integer as i, (sum(s.size) over (order by s.place) - s.size + 1)::integer as a,
      (sum(s.size) over (order by s.place))::integer as b
    from (
      select l.namespace, l.key, l.size::bigint as size, l.place
      from unnest(namespaces, keys, counts) with ordinality as l (namespace, key, size, place)
    ) s
    order by s.namespace collate "C", s.key collate "C", s.place
  loop
    begin
      replies[r.i] := public.cache_insert_log(
        namespaces[r.i], keys[r.i], erased[r.i]::bigint, scope_kinds[r.i], scope_ids[r.i],
        ids[r.a:r.b], versions[r.a:r.b]::bigint[], codecs[r.a:r.b], payloads[r.a:r.b],
        marks[r.i]::boolean, absents[r.i]::boolean
      )::text;
    exception when others then
      if not public.cache_is_data_error(sqlstate) then
        raise;
      end if;
      get stacked diagnostics broken = constraint_name;
      perform public.cache_keep_dead_letter(
        namespaces[r.i], keys[r.i], 'log',
        coalesce((select min(v::bigint) from unnest(versions[r.a:r.b]) v), erased[r.i]::bigint), 0,
        null,
        (
          select json_agg(json_build_array(s.id, s.version, s.codec, s.payload) order by s.place)
          from unnest(ids[r.a:r.b], versions[r.a:r.b], codecs[r.a:r.b], payloads[r.a:r.b])
            with ordinality as s (id, version, codec, payload, place)
        )::text,
        0, erased[r.i]::bigint, scope_kinds[r.i], scope_ids[r.i], null,
        concat_ws(' ', sqlstate, sqlerrm)
      );
      replies[r.i] := json_build_object(
        'status', 'refused', 'reason', concat_ws(' ', sqlstate, nullif(broken, ''))
      )::text;
    end;
  end loop;
  return ('[' || array_to_string(replies, ',') || ']')::json;
end
$$;

-- Whole logs or a slice of each, for as many of the logs asked for as fit into `budget` bytes,
-- at least one. Each is null, or [erased_to, kind, id, [[id, version, codec, payload], ...]].
-- `newest`: only that many of the newest items; `after`: only items behind this one, all where
-- it is unknown.
create function public.cache_read_logs(
  namespaces text[], keys text[], newest text, after text, budget text
)
returns json
language plpgsql
stable
set search_path = ''
as $$
declare
  replies text[] := '{}';
  bytes bigint := 0;
  reply text;
begin
  for i in 1..coalesce(cardinality(namespaces), 0) loop
    select json_build_array(
      l.erased_to, l.scope_kind, l.scope_id,
      (
        select coalesce(json_agg(
          json_build_array(s.id, s.version, s.codec, coalesce(s.item::text, encode(s.body, 'base64')))
          order by s.version, s.id
        ), '[]'::json)
        from (
          select i.id, i.version, i.codec, i.item, i.body
          from public.cache_log_items i
          where i.namespace = l.namespace and i.key = l.key
            and (i.version, i.id) > (coalesce(b.version, -1), coalesce(b.id, ''))
          order by i.version desc, i.id desc
          limit newest::bigint
        ) s
      )
    )::text
    into reply
    from public.cache_logs l
    left join public.cache_log_items b
      on b.namespace = l.namespace and b.key = l.key and b.id = after
    where l.namespace = namespaces[i] and l.key = keys[i];
    replies := replies || coalesce(reply, 'null');
    bytes := bytes + coalesce(length(reply), 0);
    exit when bytes >= budget::bigint;
  end loop;
  return ('[' || array_to_string(replies, ',') || ']')::json;
end
$$;

revoke execute on function public.cache_insert_log(
  text, text, bigint, text, text, text[], bigint[], text[], text[], boolean, boolean
) from public, anon, authenticated;
revoke execute on function public.cache_insert(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[]
) from public, anon, authenticated;
revoke execute on function public.cache_read_logs(text[], text[], text, text, text)
  from public, anon, authenticated;

grant execute on function public.cache_insert_log(
  text, text, bigint, text, text, text[], bigint[], text[], text[], boolean, boolean
) to service_role;
grant execute on function public.cache_insert(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[]
) to service_role;
grant execute on function public.cache_read_logs(text[], text[], text, text, text) to service_role;
