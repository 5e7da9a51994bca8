-- The rules that every write shares: which locks it takes first, which fence it meets, what
-- counts as a fault of one row, and where such a row is kept.
--
-- All of the cache's functions are `security invoker`: they can do no more than the role that
-- calls them, so a grant given by mistake to another role still meets row level security. Their
-- search_path is empty and every name is qualified, so that nobody can slip in an object of
-- the same name. They answer one json value each, never a set, because an API that caps rows
-- would cut a set short. They take text and text[] and cast inside, row by row, so that one
-- value that can't be cast costs its own row and not the batch.
--
-- Locks, always in this order, so that no two calls can wait for each other in a circle:
--   1. advisory, shared by writers and exclusive to cache_prune: what is absent stays explained;
--   2. advisory, one of 64 per scope, ascending, shared by writers and exclusive to
--      cache_erase: no write slips in between a fence and the deletion that it stands for;
--   3. rows, by namespace and key.
-- 1080246627 is the cache's own class of advisory locks ("@cac" in ASCII).

create function public.cache_lock_for_write(scope_kinds text[], scope_ids text[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  bucket integer;
begin
  perform pg_catalog.pg_advisory_xact_lock_shared(1080246627, 0);
  for bucket in
    select distinct public.cache_scope_lock(s.kind, s.id)
    from unnest(scope_kinds, scope_ids) as s (kind, id)
    where s.kind is not null
    order by 1
  loop
    perform pg_catalog.pg_advisory_xact_lock_shared(1080246627, bucket);
  end loop;
end
$$;

create function public.cache_scope_lock(kind text, id text)
returns integer
language sql
immutable
set search_path = ''
as $$
  select 1 + (hashtext(kind || '/' || id) & 63)
$$;

-- The version up to which a scope was erased; 0 where it never was, or where there is no scope.
create function public.cache_fence(kind text, id text)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
begin
  if kind is null then
    return 0;
  end if;
  return coalesce(
    (select f.version from public.cache_erase_fences f where f.scope_kind = kind and f.scope_id = id),
    0
  );
end
$$;

-- Faults that belong to the row: data exceptions (22), violated constraints (23), limits such
-- as nesting or the size of an index entry (54), and what a trigger raises (P0). Everything
-- else (a missing table, a lost privilege, a deadlock, a full disk) is no fault of the row: the
-- whole call fails and is tried again.
create function public.cache_is_data_error(code text)
returns boolean
language sql
immutable
set search_path = ''
as $$
  select left(code, 2) in ('22', '23', '54', 'P0')
$$;

create function public.cache_keep_dead_letter(
  namespace text,
  key text,
  kind text,
  version bigint,
  intent bigint,
  codec text,
  payload text,
  expires_at bigint,
  erased_to bigint,
  scope_kind text,
  scope_id text,
  tags text,
  reason text
)
returns void
language sql
set search_path = ''
as $$
  insert into public.cache_dead_letters as d (
    namespace, key, kind, version, intent, codec, payload, expires_at, erased_to,
    scope_kind, scope_id, tags, reason
  )
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
  on conflict on constraint cache_dead_letters_namespace_key_kind_version_intent_key do update
  set codec = excluded.codec, payload = excluded.payload, expires_at = excluded.expires_at,
      erased_to = excluded.erased_to, scope_kind = excluded.scope_kind,
      scope_id = excluded.scope_id, tags = excluded.tags, reason = excluded.reason,
      attempts = d.attempts + 1, updated_at = now()
$$;

revoke execute on function public.cache_lock_for_write(text[], text[]) from public, anon, authenticated;
revoke execute on function public.cache_scope_lock(text, text) from public, anon, authenticated;
revoke execute on function public.cache_fence(text, text) from public, anon, authenticated;
revoke execute on function public.cache_is_data_error(text) from public, anon, authenticated;
revoke execute on function public.cache_keep_dead_letter(
  text, text, text, bigint, bigint, text, text, bigint, bigint, text, text, text, text
) from public, anon, authenticated;

grant execute on function public.cache_lock_for_write(text[], text[]) to service_role;
grant execute on function public.cache_scope_lock(text, text) to service_role;
grant execute on function public.cache_fence(text, text) to service_role;
grant execute on function public.cache_is_data_error(text) to service_role;
grant execute on function public.cache_keep_dead_letter(
  text, text, text, bigint, bigint, text, text, bigint, bigint, text, text, text, text
) to service_role;
