-- What the cache asks about derived values: to read them, to store the results of loads and what
-- somebody sets, to remove keys, to invalidate tags. The rules are those of the tables.

-- {sequence, rows}: the present number, and a prefix of what was asked for, sized as by
-- cache_read; null where there is nothing that is valid. A row is [version, intent, codec,
-- payload, load_ms, fresh_ms, life_ms, kind, id, tags], `codec` null for "there is nothing".
create function public.cache_derived_read(namespaces text[], keys text[], budget text)
returns json
language sql
stable
set search_path = ''
as $$
  select json_build_object(
    'sequence', s.derived_sequence,
    'rows', (
      select coalesce(json_agg(
        case when r.version is not null then json_build_array(
          r.version, r.intent, r.codec, coalesce(r.value::text, encode(r.body, 'base64')),
          r.load_ms,
          greatest(0, floor(extract(epoch from r.fresh_until - now()) * 1000)),
          greatest(1, floor(extract(epoch from r.expires_at - now()) * 1000)),
          r.scope_kind, r.scope_id, r.tags
        ) end
        order by r.place
      ), '[]'::json)
      from (
        select a.place, d.version, d.intent, d.codec, d.value, d.body, d.load_ms, d.fresh_until,
          d.expires_at, d.scope_kind, d.scope_id, d.tags,
          sum(64 + coalesce(pg_column_size(d.value), 0) + coalesce(pg_column_size(d.body), 0))
            over (order by a.place) as bytes
        from unnest($1, $2) with ordinality as a (namespace, key, place)
        left join public.cache_derived d
          on d.namespace = a.namespace and d.key = a.key and d.expires_at > now()
          and not public.cache_derived_is_void(d.sequence, d.tags, d.scope_kind, d.scope_id)
      ) r
      where r.bytes <= $3::bigint or r.place = 1
    )
  )
  from public.cache_settings s
$$;

-- One result; faults of the row are raised. `in_sequence` is the number that its load began
-- with, or that was taken for it where somebody sets it (`in_set`).
create function public.cache_derived_put_row(
  in_namespace text, in_key text, in_codec text, in_payload text, in_version bigint,
  in_intent bigint, in_load_ms double precision, in_tags text, in_kind text, in_id text,
  in_fresh bigint, in_life bigint, in_sequence bigint, in_set boolean
)
returns text
language plpgsql
set search_path = ''
as $$
declare
  bears constant text[] := case when in_tags is null then '{}'::text[]
    else array(select json_array_elements_text(in_tags::json)) end;
begin
  if public.cache_derived_fence(in_kind, in_id) >= in_version then
    return 'voided';
  end if;
  -- Never so for what is set: nothing has a number above the one that was just taken.
  if public.cache_derived_is_void(in_sequence, bears, in_kind, in_id)
    or exists (
      select from public.cache_settings s
      where in_sequence < s.derived_key_floor or in_sequence > s.derived_sequence
    )
    or exists (
      select from public.cache_derived_notes n
      where n.tag = public.cache_derived_key(in_namespace, in_key) and n.sequence > in_sequence
    )
  then
    return 'voided';
  end if;

  insert into public.cache_derived as d (
    namespace, key, version, intent, no_value, codec, value, body, sequence, load_ms, tags,
    scope_kind, scope_id, fresh_until, expires_at
  )
  values (
    in_namespace, in_key, in_version, in_intent, in_codec is null, in_codec,
    case when in_codec = 'json' then in_payload::json end,
    case when in_codec <> 'json' then decode(in_payload, 'base64') end,
    in_sequence, in_load_ms, bears, in_kind, in_id,
    now() + in_fresh * interval '1 millisecond', now() + in_life * interval '1 millisecond'
  )
  on conflict on constraint cache_derived_pkey do update
  set version = excluded.version, intent = excluded.intent, no_value = excluded.no_value,
      codec = excluded.codec, value = excluded.value, body = excluded.body,
      sequence = excluded.sequence, load_ms = excluded.load_ms, tags = excluded.tags,
      scope_kind = excluded.scope_kind, scope_id = excluded.scope_id,
      fresh_until = excluded.fresh_until, expires_at = excluded.expires_at
  -- What is void or over does not keep out a load, which has its number; it does keep out what
  -- is set, because an older one that comes late has nothing but its stamp to be told by.
  where (d.version, d.intent) < (excluded.version, excluded.intent)
    or (
      not in_set and (d.version, d.intent) > (excluded.version, excluded.intent)
      and (
        d.expires_at <= now()
        or public.cache_derived_is_void(d.sequence, d.tags, d.scope_kind, d.scope_id)
      )
    );
  if found then
    return 'held';
  end if;
  -- The same write again stays what it is, also where it is void by now.
  return case when exists (
    select from public.cache_derived d
    where d.namespace = in_namespace and d.key = in_key
      and (d.version, d.intent) = (in_version, in_intent) and d.expires_at > now()
      and not public.cache_derived_is_void(d.sequence, d.tags, d.scope_kind, d.scope_id)
  ) then 'held' else 'voided' end;
end
$$;

-- 'held' or 'voided' for each row, in their order. A row without a sequence is a value that
-- somebody sets: it takes the next number (one for the call) and voids the loads of its key that
-- are under way, before the rows are looked at. Where it can't be stored, what it was to replace
-- goes all the same. Rows are taken in the order of namespace and key, as by cache_apply.
create function public.cache_derived_put(
  namespaces text[], keys text[], codecs text[], payloads text[], versions text[],
  intents text[], load_ms text[], tags text[], scope_kinds text[], scope_ids text[],
  fresh_ms text[], life_ms text[], sequences text[]
)
returns json
language plpgsql
set search_path = ''
as $$
declare
  replies text[] := array_fill(''::text, array[coalesce(cardinality(namespaces), 0)]);
  taken bigint;
  i integer;
begin
  if array_position(sequences, null) is null then
    perform pg_catalog.pg_advisory_xact_lock_shared(1080246627, 65);
  else
    taken := public.cache_derived_next();
    -- Not for what was erased: its key is not to be found anywhere.
    perform public.cache_derived_note(array(
      select public.cache_derived_key(r.namespace, r.key)
      from unnest(namespaces, keys, versions, scope_kinds, scope_ids, sequences)
        as r (namespace, key, version, kind, id, sequence)
      where r.sequence is null and public.cache_derived_fence(r.kind, r.id) < r.version::bigint
    ), taken);
  end if;
  for i in
    select r.place::integer
    from unnest(namespaces, keys) with ordinality as r (namespace, key, place)
    order by r.namespace collate "C", r.key collate "C", r.place
  loop
    begin
      replies[i] := public.cache_derived_put_row(
        namespaces[i], keys[i], codecs[i], payloads[i], versions[i]::bigint, intents[i]::bigint,
        load_ms[i]::double precision, tags[i], scope_kinds[i], scope_ids[i],
        fresh_ms[i]::bigint, life_ms[i]::bigint, coalesce(sequences[i]::bigint, taken),
        sequences[i] is null
      );
    exception when others then
      if not public.cache_is_data_error(sqlstate) then
        raise;
      end if;
      if sequences[i] is null then
        delete from public.cache_derived d
        where d.namespace = namespaces[i] and d.key = keys[i]
          and (d.version, d.intent) < (versions[i]::bigint, intents[i]::bigint);
      end if;
      replies[i] := 'voided';
    end;
  end loop;
  return to_json(replies);
end
$$;

create function public.cache_derived_remove(namespaces text[], keys text[])
returns json
language plpgsql
set search_path = ''
as $$
declare
  removed bigint;
begin
  perform public.cache_derived_note(array(
    select public.cache_derived_key(r.namespace, r.key)
    from unnest(namespaces, keys) as r (namespace, key)
  ), public.cache_derived_next());
  delete from public.cache_derived d
  using unnest(namespaces, keys) as r (namespace, key)
  where d.namespace = r.namespace and d.key = r.key;
  get diagnostics removed = row_count;
  return to_json(removed);
end
$$;

-- Names as in the notes: 't:<tag>' and 's:<scope kind>/<scope id>'. The rows stay until they are
-- over: how many bear a tag has no bound.
create function public.cache_derived_invalidate(tags text[])
returns json
language plpgsql
set search_path = ''
as $$
declare
  taken constant bigint := public.cache_derived_next();
begin
  perform public.cache_derived_note(tags, taken);
  return to_json(taken);
end
$$;

revoke execute on function public.cache_derived_read(text[], text[], text)
  from public, anon, authenticated;
revoke execute on function public.cache_derived_put_row(
  text, text, text, text, bigint, bigint, double precision, text, text, text, bigint, bigint,
  bigint, boolean
) from public, anon, authenticated;
revoke execute on function public.cache_derived_put(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[]
) from public, anon, authenticated;
revoke execute on function public.cache_derived_remove(text[], text[])
  from public, anon, authenticated;
revoke execute on function public.cache_derived_invalidate(text[])
  from public, anon, authenticated;

grant execute on function public.cache_derived_read(text[], text[], text) to service_role;
grant execute on function public.cache_derived_put_row(
  text, text, text, text, bigint, bigint, double precision, text, text, text, bigint, bigint,
  bigint, boolean
) to service_role;
grant execute on function public.cache_derived_put(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[]
) to service_role;
grant execute on function public.cache_derived_remove(text[], text[]) to service_role;
grant execute on function public.cache_derived_invalidate(text[]) to service_role;
