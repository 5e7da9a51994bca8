-- Reading values, one snapshot per call. Answers are sized: an answer ends where `budget` bytes
-- are reached (at least one row is in it) and the caller asks again for the rest, so that a
-- few giant values never become one giant answer. Sizes are those of the stored, possibly
-- compressed, columns, because looking at them does not load the values.

-- A prefix of what was asked for, in that order; null where there is no row.
create function public.cache_read(namespaces text[], keys text[], budget text)
returns json
language sql
stable
set search_path = ''
as $$
  select coalesce(json_agg(
    case when r.version is not null then json_build_array(
      r.version, r.intent, r.codec, coalesce(r.value::text, encode(r.body, 'base64')),
      r.expires_at, r.scope_kind, r.scope_id, r.tags
    ) end
    order by r.place
  ), '[]'::json)
  from (
    select a.place, e.version, e.intent, e.codec, e.value, e.body, e.expires_at, e.scope_kind,
      e.scope_id, e.tags,
      sum(64 + coalesce(pg_column_size(e.value), 0) + coalesce(pg_column_size(e.body), 0))
        over (order by a.place) as bytes
    from unnest($1, $2) with ordinality as a (namespace, key, place)
    left join public.cache_entries e on e.namespace = a.namespace and e.key = a.key
  ) r
  where r.bytes <= $3::bigint or r.place = 1
$$;

-- The live records of a namespace in key order: keys from `lower` (inclusive) to `upper`
-- (exclusive; null: no bound) and behind `after`. Answers {rows: [[key, row], ...], more}.
create function public.cache_scan(
  namespace text, lower text, upper text, after text, scope_kind text, scope_id text,
  max_rows text, budget text, at text
)
returns json
language sql
stable
set search_path = ''
as $$
  with found as (
    select e.key, e.version, e.intent, e.codec, e.value, e.body, e.expires_at, e.scope_kind,
      e.scope_id, e.tags
    from public.cache_entries e
    where e.namespace = $1
      and e.key >= coalesce($2, '')
      -- Longer than the longest key, of the last character: above every key.
      and e.key < coalesce($3, repeat(chr(1114111), 257))
      and e.key > coalesce($4, '')
      and ($5 is null or (e.scope_kind = $5 and e.scope_id = $6))
      and not e.deleted and not (e.expires_at > 0 and e.expires_at <= $9::bigint)
    order by e.key
    limit $7::bigint
  ),
  sized as (
    select f.*, row_number() over w as place,
      sum(64 + coalesce(pg_column_size(f.value), 0) + coalesce(pg_column_size(f.body), 0))
        over w as bytes
    from found f
    window w as (order by f.key)
  )
  select json_build_object(
    'rows', coalesce(json_agg(json_build_array(
      s.key,
      json_build_array(
        s.version, s.intent, s.codec, coalesce(s.value::text, encode(s.body, 'base64')),
        s.expires_at, s.scope_kind, s.scope_id, s.tags
      )
    ) order by s.place), '[]'::json),
    'more', count(*) < (select count(*) from found)
  )
  from sized s
  where s.bytes <= $8::bigint or s.place = 1
$$;

-- What names this scope: values that are alive, logs that have items. [[namespace, key, kind], ...]
create function public.cache_scope(scope_kind text, scope_id text, at text)
returns json
language sql
stable
set search_path = ''
as $$
  select coalesce(json_agg(json_build_array(t.namespace, t.key, t.kind)
    order by t.namespace, t.key, t.kind desc), '[]'::json)
  from (
    select e.namespace, e.key, 'value' as kind
    from public.cache_entries e
    where e.scope_kind = $1 and e.scope_id = $2
      and not e.deleted and not (e.expires_at > 0 and e.expires_at <= $3::bigint)
    union all
    select l.namespace, l.key, 'log'
    from public.cache_logs l
    where l.scope_kind = $1 and l.scope_id = $2 and l.size > 0
  ) t
$$;

-- Live records that bear any of these tags: [[namespace, key], ...]
create function public.cache_tagged(tags text[], at text)
returns json
language sql
stable
set search_path = ''
as $$
  select coalesce(
    json_agg(json_build_array(e.namespace, e.key) order by e.namespace, e.key), '[]'::json
  )
  from public.cache_entries e
  where e.tags && $1 and e.tags <> '{}' and not e.deleted
    and not (e.expires_at > 0 and e.expires_at <= $2::bigint)
$$;

-- The highest version that was ever here. A row is only ever replaced by a higher version, what
-- was erased lies at or below its fence, and what was pruned is remembered.
create function public.cache_max_version()
returns json
language sql
stable
set search_path = ''
as $$
  select to_json(greatest(
    (select max(e.version) from public.cache_entries e),
    (select max(l.version) from public.cache_logs l),
    (select max(f.version) from public.cache_erase_fences f),
    (select s.pruned_version from public.cache_settings s)
  ))
$$;

revoke execute on function public.cache_read(text[], text[], text) from public, anon, authenticated;
revoke execute on function public.cache_scan(
  text, text, text, text, text, text, text, text, text
) from public, anon, authenticated;
revoke execute on function public.cache_scope(text, text, text) from public, anon, authenticated;
revoke execute on function public.cache_tagged(text[], text) from public, anon, authenticated;
revoke execute on function public.cache_max_version() from public, anon, authenticated;

grant execute on function public.cache_read(text[], text[], text) to service_role;
grant execute on function public.cache_scan(
  text, text, text, text, text, text, text, text, text
) to service_role;
grant execute on function public.cache_scope(text, text, text) to service_role;
grant execute on function public.cache_tagged(text[], text) to service_role;
grant execute on function public.cache_max_version() to service_role;
