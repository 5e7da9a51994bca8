-- Writing values: cache_apply takes a batch and answers for each row, cache_compare_and_set
-- replaces exactly one known row.
--
-- The order of writes is (version, intent). A write that carries the stamp of the row is the
-- same write and is `applied` again, however often it comes. Rows are taken in the order of
-- namespace and key, so that two batches lock in the same order, and writes of one key in the
-- order in which they were given. Each row is decided under its lock.
--
-- A value whose life is over when it arrives is stored as the tombstone that it would become.
-- `at` is the caller's clock in milliseconds: the clock that its reads go by.

-- A row as the cache reads it: [version, intent, codec, payload, expires_at, kind, id, tags].
-- `codec` is null for a tombstone; the payload is JSON's own text, or base64.
create function public.cache_entry(e public.cache_entries)
returns json
language sql
stable
set search_path = ''
as $$
  select json_build_array(
    e.version, e.intent, e.codec, coalesce(e.value::text, encode(e.body, 'base64')),
    e.expires_at, e.scope_kind, e.scope_id, e.tags
  )
$$;

create function public.cache_leave_mark(
  namespace text, key text, kind text, version bigint, intent bigint
)
returns void
language sql
set search_path = ''
as $$
  insert into public.cache_bypass_marks (namespace, key, kind, version, intent)
  values ($1, $2, $3, $4, $5)
$$;

-- One write; faults of the row are raised. `base` is 'any', or what a compare-and-set expects:
-- 'none', or the stamp '<version>:<intent>'.
create function public.cache_apply_row(
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
      if public.cache_fence(in_kind, in_id) >= in_version then
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
    if public.cache_fence(in_kind, in_id) >= in_version then
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

create function public.cache_apply(
  namespaces text[], keys text[], codecs text[], payloads text[], versions text[],
  intents text[], expires text[], scope_kinds text[], scope_ids text[], tags text[],
  marks text[], absents text[], bases text[], at text
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
      perform public.cache_keep_dead_letter(
        namespaces[i], keys[i], 'value', versions[i]::bigint, intents[i]::bigint, codecs[i],
        payloads[i], expires[i]::bigint, 0, scope_kinds[i], scope_ids[i], tags[i],
        concat_ws(' ', sqlstate, sqlerrm)
      );
      replies[i] := json_build_object(
        'status', 'refused', 'reason', concat_ws(' ', sqlstate, nullif(broken, ''))
      )::text;
    end;
  end loop;
  return ('[' || array_to_string(replies, ',') || ']')::json;
end
$$;

-- The same for one value that has to be exactly what its writer saw: 'none', or a stamp.
-- Always leaves a bypass mark where it applies, because Redis has to be told.
create function public.cache_compare_and_set(
  namespace text, key text, codec text, payload text, version text, intent text, expires text,
  scope_kind text, scope_id text, tags text, base text, at text
)
returns json
language sql
set search_path = ''
as $$
  select public.cache_apply(
    array[$1], array[$2], array[$3], array[$4], array[$5], array[$6], array[$7], array[$8],
    array[$9], array[$10], array['true'], array['false'], array[$11], $12
  ) -> 0
$$;

revoke execute on function public.cache_entry(public.cache_entries) from public, anon, authenticated;
revoke execute on function public.cache_leave_mark(text, text, text, bigint, bigint)
  from public, anon, authenticated;
revoke execute on function public.cache_apply_row(
  text, text, text, text, bigint, bigint, bigint, text, text, text, boolean, boolean, text,
  bigint, bigint
) from public, anon, authenticated;
revoke execute on function public.cache_apply(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[], text
) from public, anon, authenticated;
revoke execute on function public.cache_compare_and_set(
  text, text, text, text, text, text, text, text, text, text, text, text
) from public, anon, authenticated;

grant execute on function public.cache_entry(public.cache_entries) to service_role;
grant execute on function public.cache_leave_mark(text, text, text, bigint, bigint) to service_role;
grant execute on function public.cache_apply_row(
  text, text, text, text, bigint, bigint, bigint, text, text, text, boolean, boolean, text,
  bigint, bigint
) to service_role;
grant execute on function public.cache_apply(
  text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
  text[], text
) to service_role;
grant execute on function public.cache_compare_and_set(
  text, text, text, text, text, text, text, text, text, text, text, text
) to service_role;
