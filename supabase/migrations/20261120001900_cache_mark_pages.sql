-- Bypass marks, a page at a time. Marks of a key whose Redis is away have to stay: read from the
-- first one each time, they would be in every answer, and count for as much as all others.
-- Instances of the version before go on with cache_marks(text).

update public.cache_settings s set revision = greatest(s.revision, 6);

-- [[id, namespace, key, kind, version, intent], ...], oldest first, behind `after_id` (null: from
-- the first).
create function public.cache_marks(max_rows text, after_id text)
returns json
language sql
stable
set search_path = ''
as $$
  select coalesce(json_agg(
    json_build_array(m.id, m.namespace, m.key, m.kind, m.version, m.intent) order by m.id
  ), '[]'::json)
  from (
    select * from public.cache_bypass_marks b
    where b.id > coalesce($2::bigint, 0)
    order by b.id
    limit $1::bigint
  ) m
$$;

revoke execute on function public.cache_marks(text, text) from public, anon, authenticated;
grant execute on function public.cache_marks(text, text) to service_role;
