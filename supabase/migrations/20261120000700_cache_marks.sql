-- Bypass marks: "this write is here and Redis was not told". They are left by the functions
-- that write, in the transaction of the write, read oldest first by the one instance that
-- repairs, and deleted by their ids once Redis has confirmed the repair. Marks are never merged:
-- one that was left during a repair must survive it.

-- {marks: [[id, namespace, key, kind, version, intent], ...], total}
create function public.cache_marks(max_rows text)
returns json
language sql
stable
set search_path = ''
as $$
  select json_build_object(
    'marks', (
      select coalesce(json_agg(
        json_build_array(m.id, m.namespace, m.key, m.kind, m.version, m.intent) order by m.id
      ), '[]'::json)
      from (select * from public.cache_bypass_marks b order by b.id limit $1::bigint) m
    ),
    'total', (select count(*) from public.cache_bypass_marks)
  )
$$;

create function public.cache_unmark(ids text[])
returns json
language sql
set search_path = ''
as $$
  with gone as (
    delete from public.cache_bypass_marks m where m.id = any ($1::bigint[]) returning 1
  )
  select to_json(count(*)) from gone
$$;

revoke execute on function public.cache_marks(text) from public, anon, authenticated;
revoke execute on function public.cache_unmark(text[]) from public, anon, authenticated;

grant execute on function public.cache_marks(text) to service_role;
grant execute on function public.cache_unmark(text[]) to service_role;
