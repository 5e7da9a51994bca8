-- Mapped tables: a namespace of records in a table of the team's own, which other programs read
-- and write with plain SQL. This file says which tables are mapped, and how.
--
-- `cache_entries` stays what the protocol works with, in every word of it. For a mapped namespace
-- two triggers keep its rows and those of the team's table the same, in the transaction of
-- whoever writes: the rows that the cache writes are mirrored into the table (cache_mirror), the
-- rows that somebody else writes are taken back (cache_take_back). Nothing else changes.
--
-- A key is the text of the table's key columns, joined by ":"; in each of them "%" is written %25
-- and ":" is written %3A, so that no two rows have one key.

create table public.cache_mapped_tables (
  namespace text collate "C" primary key,
  relation regclass not null unique,
  -- The columns that are the key, in the order in which it names them.
  key text[] not null,
  -- Field of the value → column, in the order in which a value is put together.
  columns json not null,
  -- The scope of a row: its kind, and which of the key's columns is its id.
  scope_kind text collate "C",
  scope_column text,
  constraint cache_mapped_tables_scope_is_whole check ((scope_kind is null) = (scope_column is null))
);
alter table public.cache_mapped_tables enable row level security;
-- Whoever could write here would say which tables the cache writes to.
revoke all on public.cache_mapped_tables from public, anon, authenticated, service_role;
grant select on public.cache_mapped_tables to service_role;

-- The key of a row, or null where a part of it is null: such a row is no record.
create function public.cache_mapped_key(key text[], row_of json)
returns text
language sql
immutable
set search_path = ''
as $$
  select case when count($2 ->> k.name) = cardinality($1) then
    string_agg(replace(replace($2 ->> k.name, '%', '%25'), ':', '%3A'), ':' order by k.place) end
  from unnest($1) with ordinality as k (name, place)
$$;

-- What a key says of each key column, as text; null where it is not a key of such a table.
create function public.cache_mapped_parts(key text[], of text)
returns text[]
language sql
immutable
set search_path = ''
as $$
  select case
    when cardinality(p.parts) = cardinality($1)
      and $2 = array_to_string(array(
        select replace(replace(d.part, '%', '%25'), ':', '%3A')
        from unnest(p.parts) with ordinality as d (part, place) order by d.place
      ), ':')
    then p.parts end
  from (
    select array(
      select replace(replace(s.part, '%3A', ':'), '%25', '%')
      from unnest(string_to_array($2, ':')) with ordinality as s (part, place) order by s.place
    ) as parts
  ) p
$$;

-- What keeps a table from holding the records of a mapping; none: it can.
create function public.cache_mapped_faults(
  relation regclass, key text[], columns json, scope_column text
)
returns text[]
language sql
stable
set search_path = ''
as $$
  with there as (
    select a.attname::text as name, a.attnotnull as is_needed,
      a.attgenerated <> '' or a.attidentity = 'a' as is_made,
      a.atthasdef or a.attidentity <> '' as has_default
    from pg_catalog.pg_attribute a
    where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
  ),
  named as (
    select k.name, k.place, true as is_key from unnest($2) with ordinality as k (name, place)
    union all
    select f.value, 1000 + f.place, false from json_each_text($3) with ordinality as f (field, value, place)
  )
  select coalesce(array_agg(fault order by place), '{}') from (
    select 0 as place, 'it is no table' as fault
    from pg_catalog.pg_class c where c.oid = $1 and c.relkind not in ('r', 'p')
    union all
    select n.place, format('it lacks the column "%s"', n.name)
    from named n where not exists (select from there t where t.name = n.name)
    union all
    select n.place, format('its column "%s" can not be written', n.name)
    from named n join there t on t.name = n.name where t.is_made
    union all
    select min(n.place), format('its column "%s" is named twice', n.name)
    from named n group by n.name having count(*) > 1
    union all
    select 2000, format('its column "%s" is neither mapped nor filled by a default', t.name)
    from there t
    where t.is_needed and not t.has_default and not t.is_made
      and not exists (select from named n where n.name = t.name)
    union all
    select 3000, 'no column is mapped' where not exists (select from named n where not n.is_key)
    union all
    select 3001, 'the key has no column' where coalesce(cardinality($2), 0) = 0
    union all
    select 3002, format('the column "%s" of the scope is no part of the key', $4)
    where $4 is not null and not ($4 = any ($2))
    union all
    select 3003, format('it has no primary key or unique index on exactly (%s)', array_to_string($2, ', '))
    where not exists (
      select from pg_catalog.pg_index i
      where i.indrelid = $1 and i.indisunique and i.indisvalid and i.indimmediate
        and i.indpred is null and i.indexprs is null
        and (
          select array_agg(a.attname::text order by a.attname::text)
          from unnest(i.indkey::smallint[]) with ordinality as p (number, place)
          join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = p.number
          where p.place <= i.indnkeyatts
        ) = (select array_agg(k order by k) from unnest($2) k)
    )
  ) f
$$;

-- What a cache asks before it relies on a mapping: an array of what is wrong, in words; empty: all
-- is well. The mapping here may know columns that the caller does not, so that a column can be
-- mapped before the programs that use it are there. `columns` is JSON as text: not every driver
-- sends an object as an object.
create function public.cache_check_mapping(
  namespace text, relation text, key text[], columns text, scope_kind text, scope_column text
)
returns json
language plpgsql
stable
set search_path = ''
as $$
declare
  m public.cache_mapped_tables;
  asked constant oid := to_regclass(cache_check_mapping.relation);
  faults text[];
begin
  if asked is null then
    return json_build_array('there is no such table');
  end if;
  select * into m from public.cache_mapped_tables t
  where t.namespace = cache_check_mapping.namespace and t.relation = asked;
  faults := public.cache_mapped_faults(
    asked, cache_check_mapping.key,
    (coalesce(m.columns::jsonb, '{}') || cache_check_mapping.columns::jsonb)::json,
    cache_check_mapping.scope_column
  );
  if cardinality(faults) > 0 then
    return to_json(faults);
  end if;
  if m.namespace is null then
    return json_build_array('it is not mapped');
  end if;
  faults := faults
    || case when m.key <> cache_check_mapping.key then 'it is mapped with another key' end
    || case when (m.scope_kind, m.scope_column)
         is distinct from (cache_check_mapping.scope_kind, cache_check_mapping.scope_column)
       then 'it is mapped with another scope' end
    || array(
      select format('its column "%s" is not mapped', f.value)
      from json_each_text(cache_check_mapping.columns::json) f
      where m.columns ->> f.key is distinct from f.value
    )
    || case when (
         select count(*) from pg_catalog.pg_trigger t
         where (t.tgrelid = asked and t.tgname in ('cache_mapped', 'cache_mapped_truncate')
           or t.tgrelid = 'public.cache_entries'::regclass
             and t.tgname in (
               public.cache_mirror_name(m.namespace, 'write'), public.cache_mirror_name(m.namespace, 'gone')
             ))
           and t.tgenabled in ('O', 'A')
       ) <> 4 then 'its triggers are missing or disabled' end;
  return to_json(array_remove(faults, null));
end
$$;

create function public.cache_mirror_name(namespace text, what text)
returns text
language sql
immutable
set search_path = ''
as $$
  select 'cache_mirror_' || $2 || '_' || left(md5($1), 16)
$$;
