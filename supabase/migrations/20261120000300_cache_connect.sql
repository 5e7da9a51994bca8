-- The handshake: the first cache that connects fixes the number of shards; every later one is
-- told what is kept and refuses to start where it was configured otherwise.

create function public.cache_connect(shards text)
returns json
language plpgsql
set search_path = ''
as $$
declare
  kept public.cache_settings;
begin
  select * into strict kept from public.cache_settings s;
  if kept.shards is null then
    update public.cache_settings s set shards = cache_connect.shards::integer where s.shards is null;
    select * into strict kept from public.cache_settings s;
  end if;
  return json_build_object('schema', kept.schema_version, 'shards', kept.shards);
end
$$;

revoke execute on function public.cache_connect(text) from public, anon, authenticated;
grant execute on function public.cache_connect(text) to service_role;
