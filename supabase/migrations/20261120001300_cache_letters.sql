-- Dead letters, from an operator's side: looked at, sent again, dropped; and the rules by which
-- they go of themselves.
--
-- What becomes of a letter:
--   kept       a row was refused (or could not even be sent), and somebody was told that the write
--              is held. The write is pending in Redis, and readable.
--   resolved   it is gone: the write was stored after all, or something newer of its key was,
--              its log was deleted past it, its scope was erased.
--   retried    the stored write was sent again with its own stamp. Stored, or superseded:
--              resolved. Refused again: kept, one more attempt.
--   dropped    it is gone, and so is the write: its name is in cache_drops, and wherever it still
--              waits it is answered like something erased. A newer write is not touched.
--
-- A name in cache_drops is a digest of the stamp, so that it says nothing about anybody and can
-- outlive the erasure of a scope. One row of 40 bytes for each write that somebody dropped by hand.

create table public.cache_drops (
  digest bytea primary key,
  dropped_at timestamptz not null default now()
);
alter table public.cache_drops enable row level security;
revoke all on public.cache_drops from public, anon, authenticated;
grant select, insert on public.cache_drops to service_role;

-- The size of a payload that could not be sent, and so is not here; null: it is here.
alter table public.cache_dead_letters add column unsent_bytes bigint;
create index cache_dead_letters_by_namespace on public.cache_dead_letters (namespace, id);

-- `stamp` is the intent of a value, the id of an item.
create function public.cache_write_digest(
  namespace text, key text, kind text, version bigint, stamp text
)
returns bytea
language sql
immutable
set search_path = ''
as $$
  select sha256(convert_to(json_build_array($1, $2, $3, $4, $5)::text, 'UTF8'))
$$;

create function public.cache_is_dropped(
  namespace text, key text, kind text, version bigint, stamp text
)
returns boolean
language sql
stable
set search_path = ''
as $$
  select exists (select from public.cache_drops) and exists (
    select from public.cache_drops d
    where d.digest = public.cache_write_digest($1, $2, $3, $4, $5)
  )
$$;

-- An item has no intent. Its letter gets one of 53 bits, so that two items of one version, which
-- two instances may well propose, are two letters.
create function public.cache_item_intent(id text)
returns bigint
language sql
immutable
set search_path = ''
as $$
  select ('x' || substr(encode(sha256(convert_to($1, 'UTF8')), 'hex'), 1, 13))::bit(52)::bigint
$$;

-- Letters of these values that L3 has something as new of, and those of writes answered as erased.
create function public.cache_resolve_values(
  namespaces text[], keys text[], versions text[], intents text[], replies text[]
)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from public.cache_dead_letters) then
    return;
  end if;
  delete from public.cache_dead_letters d
  using unnest(namespaces, keys) as a (namespace, key), public.cache_entries e
  where d.namespace = a.namespace and d.key = a.key and d.kind = 'value'
    and e.namespace = a.namespace and e.key = a.key
    and (d.version, d.intent) <= (e.version, e.intent);
  delete from public.cache_dead_letters d
  using unnest(namespaces, keys, versions, intents, replies)
    as a (namespace, key, version, intent, reply)
  where d.namespace = a.namespace and d.key = a.key and d.kind = 'value'
    and d.version = a.version::bigint and d.intent = a.intent::bigint
    and a.reply::json ->> 'status' = 'erased';
end
$$;

-- Letters of these logs of which L3 has every item, or a deletion past it.
create function public.cache_resolve_items(namespaces text[], keys text[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  if not exists (select from public.cache_dead_letters) then
    return;
  end if;
  delete from public.cache_dead_letters d
  using unnest(namespaces, keys) as a (namespace, key), public.cache_logs l
  where d.namespace = a.namespace and d.key = a.key and d.kind = 'log'
    and l.namespace = a.namespace and l.key = a.key
    and d.erased_to <= l.erased_to
    and not exists (
      select from json_array_elements(d.payload::json) p
      where (p ->> 1)::bigint > l.erased_to
        and not exists (
          select from public.cache_log_items i
          where i.namespace = d.namespace and i.key = d.key and i.id = p ->> 0
        )
    );
end
$$;

-- As before, and a write that was dropped is answered as erased.
create or replace function public.cache_apply_row(
  in_namespace text, in_key text, in_codec text, in_payload text, in_version bigint,
  in_intent bigint, in_expires bigint, in_kind text, in_id text, in_tags text,
  in_mark boolean, in_absent boolean, in_base text, in_pruned bigint, in_at bigint
)
returns json
language plpgsql
set search_path = ''
as $$
declare
  over constant boolean := in_expires > 0 and in_expires <= in_at;
  gone constant boolean := in_codec is null or over;
  kept record;
begin
  loop
    select e.version, e.intent, e.deleted or (e.expires_at > 0 and e.expires_at <= in_at) as gone
    into kept
    from public.cache_entries e
    where e.namespace = in_namespace and e.key = in_key
    for update;

    if found then
      if (kept.version, kept.intent) = (in_version, in_intent) then
        exit;
      end if;
      if in_absent and not kept.gone then
        return json_build_object('status', 'exists');
      end if;
      if (in_base <> 'any' and in_base <> kept.version || ':' || kept.intent)
        or (in_base <> 'any' and in_version <= kept.version)
        or (kept.version, kept.intent) > (in_version, in_intent)
      then
        if in_mark and in_base = 'any' then
          perform public.cache_leave_mark(in_namespace, in_key, 'value', kept.version, kept.intent);
        end if;
        return json_build_object(
          'status', case when in_base = 'any' then 'superseded' else 'mismatch' end,
          'newer', (
            select public.cache_entry(e) from public.cache_entries e
            where e.namespace = in_namespace and e.key = in_key
          )
        );
      end if;
      if public.cache_fence(in_kind, in_id) >= in_version
        or public.cache_is_dropped(in_namespace, in_key, 'value', in_version, in_intent::text)
      then
        return json_build_object('status', 'erased');
      end if;
      update public.cache_entries e
      set version = in_version, intent = in_intent, deleted = gone,
          codec = case when not gone then in_codec end,
          value = case when not gone and in_codec = 'json' then in_payload::json end,
          body = case when not gone and in_codec <> 'json' then decode(in_payload, 'base64') end,
          expires_at = case when over then 0 else in_expires end,
          scope_kind = in_kind, scope_id = in_id,
          tags = case when over or in_tags is null then '{}'::text[]
            else array(select json_array_elements_text(in_tags::json)) end,
          updated_at = now()
      where e.namespace = in_namespace and e.key = in_key;
      exit;
    end if;

    if in_base not in ('any', 'none') then
      return json_build_object('status', 'mismatch', 'newer', null);
    end if;
    if public.cache_fence(in_kind, in_id) >= in_version
      or public.cache_is_dropped(in_namespace, in_key, 'value', in_version, in_intent::text)
    then
      return json_build_object('status', 'erased');
    end if;
    if in_version <= in_pruned then
      perform public.cache_keep_dead_letter(
        in_namespace, in_key, 'value', in_version, in_intent, in_codec, in_payload, in_expires,
        0, in_kind, in_id, in_tags, 'expired'
      );
      return json_build_object('status', 'expired');
    end if;
    insert into public.cache_entries (
      namespace, key, version, intent, deleted, codec, value, body, expires_at, scope_kind,
      scope_id, tags
    )
    values (
      in_namespace, in_key, in_version, in_intent, gone,
      case when not gone then in_codec end,
      case when not gone and in_codec = 'json' then in_payload::json end,
      case when not gone and in_codec <> 'json' then decode(in_payload, 'base64') end,
      case when over then 0 else in_expires end,
      in_kind, in_id,
      case when over or in_tags is null then '{}'::text[]
        else array(select json_array_elements_text(in_tags::json)) end
    )
    on conflict (namespace, key) do nothing;
    exit when found;
    -- Somebody else was first, between the look and the insert: now there is a row to lock.
  end loop;

  if in_mark then
    perform public.cache_leave_mark(in_namespace, in_key, 'value', in_version, in_intent);
  end if;
  return json_build_object('status', 'applied');
end
$$;

-- As before, and: `keeps` says of each row whether a letter is to be kept where it is refused
-- (left out: yes), and letters that this call resolves go.
drop function public.cache_apply(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[], text
);

create function public.cache_apply(
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

-- As before, and items that were dropped are left out, and named.
create or replace function public.cache_insert_log(
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
  dropped text[] := '{}';
begin
  -- Hardly anything is ever dropped: one look says so.
  if exists (select from public.cache_drops) then
    select coalesce(array_agg(s.id), '{}') into dropped
    from unnest(ids, versions) as s (id, version)
    where public.cache_is_dropped(in_namespace, in_key, 'log', s.version, s.id);
  end if;
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
        'erasedTo', in_erased, 'dropped', to_json(dropped)
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
  where s.version > greatest(erased, fence) and s.id <> all (dropped)
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
      array_agg(s.id order by s.place) filter (where i.id is null and s.id <> all (dropped)),
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
    'others', kept.size > known, 'erasedTo', erased, 'dropped', to_json(dropped)
  );
end
$$;

-- As before, with `keeps`, and a letter is one item (or one deletion).
drop function public.cache_insert(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[]
);

create function public.cache_insert(
  namespaces text[], keys text[], erased text[], scope_kinds text[], scope_ids text[],
  counts text[], ids text[], versions text[], codecs text[], payloads text[],
  marks text[], absents text[], keeps text[] default null
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
      -- Of several items one is at fault: whoever sent them sends each alone, and keeps that one.
      if r.b <= r.a and coalesce(keeps[r.i]::boolean, true) then
        perform public.cache_keep_dead_letter(
          namespaces[r.i], keys[r.i], 'log', case when r.b = r.a then versions[r.a] else erased[r.i] end::bigint,
          case when r.b = r.a then public.cache_item_intent(ids[r.a]) else 0 end,
          case when r.b = r.a then codecs[r.a] end,
          case when r.b = r.a then
            json_build_array(json_build_array(ids[r.a], versions[r.a], codecs[r.a], payloads[r.a]))::text
          end,
          0, erased[r.i]::bigint, scope_kinds[r.i], scope_ids[r.i], null,
          concat_ws(' ', sqlstate, sqlerrm)
        );
      end if;
      replies[r.i] := json_build_object(
        'status', 'refused', 'reason', concat_ws(' ', sqlstate, nullif(broken, ''))
      )::text;
    end;
  end loop;
  perform public.cache_resolve_items(namespaces, keys);
  return ('[' || array_to_string(replies, ',') || ']')::json;
end
$$;

revoke execute on function public.cache_write_digest(text, text, text, bigint, text)
  from public, anon, authenticated;
revoke execute on function public.cache_is_dropped(text, text, text, bigint, text)
  from public, anon, authenticated;
revoke execute on function public.cache_item_intent(text) from public, anon, authenticated;
revoke execute on function public.cache_resolve_values(text[], text[], text[], text[], text[])
  from public, anon, authenticated;
revoke execute on function public.cache_resolve_items(text[], text[])
  from public, anon, authenticated;
revoke execute on function public.cache_apply(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[], text, text[]
) from public, anon, authenticated;
revoke execute on function public.cache_insert(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[]
) from public, anon, authenticated;

grant execute on function public.cache_write_digest(text, text, text, bigint, text) to service_role;
grant execute on function public.cache_is_dropped(text, text, text, bigint, text) to service_role;
grant execute on function public.cache_item_intent(text) to service_role;
grant execute on function public.cache_resolve_values(text[], text[], text[], text[], text[]) to service_role;
grant execute on function public.cache_resolve_items(text[], text[]) to service_role;
grant execute on function public.cache_apply(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[], text, text[]
) to service_role;
grant execute on function public.cache_insert(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[]
) to service_role;
