-- What is asked of dead letters: one that could not be sent is kept; a page of them, one of them,
-- again, never again. What a letter is and what becomes of it: cache_letters.

update public.cache_settings s set revision = greatest(s.revision, 3);

-- A row that can't even be sent: too large for one call, or for the time that a call may take. Its
-- writer, which can reach this database with everything else, says so; the payload stays where
-- it is, pending. Answers what the write itself would be: refused; erased or dropped where it is not wanted
-- any more.
create function public.cache_keep_unsent(
  namespace text, key text, kind text, version text, intent text, item_id text, codec text,
  bytes text, expires text, scope_kind text, scope_id text, tags text, reason text
)
returns json
language plpgsql
set search_path = ''
as $$
declare
  in_version constant bigint := cache_keep_unsent.version::bigint;
  in_stamp constant text := coalesce(item_id, cache_keep_unsent.intent);
  letter constant bigint := case when cache_keep_unsent.kind = 'log'
    then public.cache_item_intent(item_id) else cache_keep_unsent.intent::bigint end;
begin
  perform public.cache_lock_for_write(array[scope_kind], array[scope_id]);
  if public.cache_fence(scope_kind, scope_id) >= in_version then
    return json_build_object('status', 'erased');
  end if;
  if public.cache_is_dropped(
    cache_keep_unsent.namespace, cache_keep_unsent.key, cache_keep_unsent.kind, in_version, in_stamp
  ) then
    return json_build_object('status', 'dropped');
  end if;
  perform public.cache_keep_dead_letter(
    cache_keep_unsent.namespace, cache_keep_unsent.key, cache_keep_unsent.kind, in_version, letter,
    cache_keep_unsent.codec,
    case when cache_keep_unsent.kind = 'log' then
      json_build_array(json_build_array(item_id, in_version::text, cache_keep_unsent.codec, null))::text
    end,
    expires::bigint, 0, scope_kind, scope_id, cache_keep_unsent.tags, cache_keep_unsent.reason
  );
  update public.cache_dead_letters d set unsent_bytes = bytes::bigint
  where d.namespace = cache_keep_unsent.namespace and d.key = cache_keep_unsent.key
    and d.kind = cache_keep_unsent.kind and d.version = in_version and d.intent = letter;
  return json_build_object('status', 'refused', 'reason', cache_keep_unsent.reason);
end
$$;

-- A letter as it is shown: [id, namespace, key, kind, version, items, codec, bytes, isKept, reason,
-- attempts, created, updated, scope kind, scope id, payload]. Times in milliseconds since 1970.
-- `items` are the ids of a log's items. The payload is null unless it was asked for.
create function public.cache_dead_letter(d public.cache_dead_letters, whole boolean)
returns json
language sql
stable
set search_path = ''
as $$
  select json_build_array(
    d.id, d.namespace, d.key, d.kind, d.version,
    case when d.kind = 'log' then coalesce(
      (select json_agg(p ->> 0) from json_array_elements(d.payload::json) p), '[]'::json
    ) end,
    d.codec, coalesce(d.unsent_bytes, octet_length(d.payload), 0), d.unsent_bytes is null, d.reason,
    d.attempts, (extract(epoch from d.created_at) * 1000)::bigint,
    (extract(epoch from d.updated_at) * 1000)::bigint, d.scope_kind, d.scope_id,
    case when whole and d.unsent_bytes is null then d.payload end
  )
$$;

-- A page of them by id, behind `after`. `newest`: from the last to the first.
create function public.cache_dead_letter_page(
  namespace text, after text, newest text, max_rows text
)
returns json
language sql
stable
set search_path = ''
as $$
  select coalesce(json_agg(public.cache_dead_letter(l, false) order by s.place), '[]'::json)
  from (
    select d.id, row_number() over (order by case when $3::boolean then -d.id else d.id end) as place
    from public.cache_dead_letters d
    where ($1 is null or d.namespace = $1)
      and ($2 is null or case when $3::boolean then d.id < $2::bigint else d.id > $2::bigint end)
    order by case when $3::boolean then -d.id else d.id end
    limit $4::bigint
  ) s
  join public.cache_dead_letters l on l.id = s.id
$$;

-- One of them with its payload, or null.
create function public.cache_dead_letter_one(id text)
returns json
language sql
stable
set search_path = ''
as $$
  select public.cache_dead_letter(d, true) from public.cache_dead_letters d where d.id = $1::bigint
$$;

-- Sends the stored write again. {status, namespace, key}; status is `unknown` where there is no such
-- letter, `unsent` where the payload is not here, otherwise what the write was answered (of several
-- items: `refused` where one was). Left marks tell Redis.
create function public.cache_retry_dead_letter(id text, at text)
returns json
language plpgsql
set search_path = ''
as $$
declare
  d public.cache_dead_letters;
  answer json;
  outcome text;
  n integer;
begin
  -- Not locked: writers lock what they write first, and their letters last.
  select * into d from public.cache_dead_letters l where l.id = cache_retry_dead_letter.id::bigint;
  if not found then
    return json_build_object('status', 'unknown');
  end if;
  if d.unsent_bytes is not null then
    return json_build_object('status', 'unsent', 'namespace', d.namespace, 'key', d.key);
  end if;
  if d.kind = 'value' then
    answer := public.cache_apply(
      array[d.namespace], array[d.key], array[d.codec], array[d.payload], array[d.version::text],
      array[d.intent::text], array[d.expires_at::text], array[d.scope_kind], array[d.scope_id],
      array[d.tags], array['true'], array['false'], array['any'], cache_retry_dead_letter.at
    );
  else
    n := greatest(1, coalesce(json_array_length(d.payload::json), 0));
    select public.cache_insert(
      array_fill(d.namespace, array[n]), array_fill(d.key, array[n]),
      array_fill(d.erased_to::text, array[n]), array_fill(d.scope_kind, array[n]),
      array_fill(d.scope_id, array[n]),
      array_fill((case when d.payload is null then '0' else '1' end)::text, array[n]),
      array_agg(p ->> 0) filter (where p is not null), array_agg(p ->> 1) filter (where p is not null),
      array_agg(p ->> 2) filter (where p is not null), array_agg(p ->> 3) filter (where p is not null),
      array_fill('true'::text, array[n]), array_fill('false'::text, array[n])
    ) into answer
    from (select 1) one left join json_array_elements(d.payload::json) p on true;
  end if;
  select case
    when bool_or(r ->> 'status' = 'refused') then 'refused'
    when bool_or(r ->> 'status' = 'expired') then 'expired'
    else min(r ->> 'status') end
  into outcome from json_array_elements(answer) r;
  -- A refused one was kept again: as this very letter, or, of several items, each as one of its own.
  if outcome not in ('refused', 'expired') or (d.kind = 'log' and n > 1) then
    delete from public.cache_dead_letters l where l.id = d.id;
  end if;
  return json_build_object('status', outcome, 'namespace', d.namespace, 'key', d.key);
end
$$;

-- Forgets a letter and its write for good. {status, namespace, key}; status is `unknown`, `dropped`, or
-- `deletion`: that a log was deleted can't be taken back, and stays.
create function public.cache_drop_dead_letter(id text)
returns json
language plpgsql
set search_path = ''
as $$
declare
  d public.cache_dead_letters;
begin
  -- No writer may be between its look at cache_drops and its letter.
  perform pg_catalog.pg_advisory_xact_lock(1080246627, 0);
  select * into d from public.cache_dead_letters l
  where l.id = cache_drop_dead_letter.id::bigint for update;
  if not found then
    return json_build_object('status', 'unknown');
  end if;
  if d.kind = 'log' and d.payload is null then
    return json_build_object('status', 'deletion', 'namespace', d.namespace, 'key', d.key);
  end if;
  insert into public.cache_drops (digest)
  select public.cache_write_digest(d.namespace, d.key, d.kind, w.version, w.stamp)
  from (
    select d.version as version, d.intent::text as stamp where d.kind = 'value'
    union all
    -- The payload of a value need not be JSON, and is looked at even where no row of it is asked for.
    select (p ->> 1)::bigint, p ->> 0
    from json_array_elements(case when d.kind = 'log' then d.payload::json end) p
    where not exists (
      select from public.cache_log_items i
      where i.namespace = d.namespace and i.key = d.key and i.id = p ->> 0
    )
  ) w
  on conflict do nothing;
  delete from public.cache_dead_letters l where l.id = d.id;
  -- Whoever repairs sends what is pending in Redis once more, and is told that it is not wanted.
  perform public.cache_leave_mark(d.namespace, d.key, d.kind, d.version, 9007199254740991);
  return json_build_object('status', 'dropped', 'namespace', d.namespace, 'key', d.key);
end
$$;

revoke execute on function public.cache_keep_unsent(text, text, text, text, text, text, text, text, text, text, text, text, text)
  from public, anon, authenticated;
revoke execute on function public.cache_dead_letter(public.cache_dead_letters, boolean)
  from public, anon, authenticated;
revoke execute on function public.cache_dead_letter_page(text, text, text, text)
  from public, anon, authenticated;
revoke execute on function public.cache_dead_letter_one(text) from public, anon, authenticated;
revoke execute on function public.cache_retry_dead_letter(text, text)
  from public, anon, authenticated;
revoke execute on function public.cache_drop_dead_letter(text) from public, anon, authenticated;

grant execute on function public.cache_keep_unsent(text, text, text, text, text, text, text, text, text, text, text, text, text) to service_role;
grant execute on function public.cache_dead_letter(public.cache_dead_letters, boolean) to service_role;
grant execute on function public.cache_dead_letter_page(text, text, text, text) to service_role;
grant execute on function public.cache_dead_letter_one(text) to service_role;
grant execute on function public.cache_retry_dead_letter(text, text) to service_role;
grant execute on function public.cache_drop_dead_letter(text) to service_role;
