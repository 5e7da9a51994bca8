-- Mapped tables: what tables of other programs may well have, and what was wrong there. Nothing here
-- changes what a call takes or answers.
--
-- Whatever is rendered as JSON or compared is rendered with the same settings, whoever's session it
-- is: a key, and whether two values are the same, would otherwise depend on who wrote.

update public.cache_settings s set revision = greatest(s.revision, 7);

-- The key of a row, or null where a part of it is null, or where it is empty or longer than the
-- cache takes a key: such a row is no record.
create or replace function public.cache_mapped_key(key text[], row_of json)
returns text
language sql
immutable
set search_path = ''
as $$
  select case when octet_length(w.key) between 1 and 1024 then w.key end
  from (
    select case when count($2 ->> k.name) = cardinality($1) then
      string_agg(replace(replace($2 ->> k.name, '%', '%25'), ':', '%3A'), ':' order by k.place) end
    from unnest($1) with ordinality as k (name, place)
  ) w (key)
$$;

-- What a key says of each key column, as text; null where it is not a key of such a table.
create or replace function public.cache_mapped_parts(key text[], of text)
returns text[]
language sql
immutable
set search_path = ''
as $$
  select case
    when octet_length($2) between 1 and 1024
      and cardinality(p.parts) = cardinality($1)
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

-- What such keys left behind: no cache can read it, and every repair failed at it. The rows stay.
delete from public.cache_bypass_marks b where octet_length(b.key) not between 1 and 1024;
delete from public.cache_entries e where octet_length(e.key) not between 1 and 1024;

-- As before, and a partitioned table can not hold the records.
create or replace function public.cache_mapped_faults(
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
    select 0 as place, case c.relkind
      when 'p' then 'it is partitioned, and no trigger of it sees that a partition is truncated'
      else 'it is no table' end as fault
    from pg_catalog.pg_class c where c.oid = $1 and c.relkind <> 'r'
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

-- As before; the names of rows in queries are such that no column has them.
create or replace function public.cache_mapped_image(m public.cache_mapped_tables, key text, value json)
returns json
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set extra_float_digits = 1
set bytea_output = 'hex'
set intervalstyle = 'postgres'
as $$
declare
  parts constant text[] := public.cache_mapped_parts(m.key, cache_mapped_image.key);
  named json;
  image json;
begin
  if parts is null then
    raise exception 'a key of "%" is not (%)', m.namespace, array_to_string(m.key, ', ');
  end if;
  if json_typeof(value) is distinct from 'object' then
    raise exception 'a value of "%" is no object, and can not be a row', m.namespace;
  end if;
  select json_object_agg(c.name, c.value) into named from (
    select k.name, to_json(parts[k.place]) as value
    from unnest(m.key) with ordinality as k (name, place)
    union all
    select f.value, cache_mapped_image.value -> f.key from json_each_text(m.columns) f
  ) c;
  execute format(
    'select to_json(cache_image_) from json_populate_record(null::%s, $1) cache_image_', m.relation
  ) into image using named;
  -- Otherwise two keys, such as 7 and 07, would be one row.
  if public.cache_mapped_key(m.key, image) is distinct from cache_mapped_image.key then
    raise exception 'a key of "%" is not written as its columns write it', m.namespace;
  end if;
  return image;
end
$$;

-- As before. A row that is equal to the key, but is written in another way (1.00 for 1.0), is another
-- record's and is not deleted. A trigger of the table that swallows a write makes it a dead letter:
-- nobody would find in the table what was said to be in it.
create or replace function public.cache_mirror()
returns trigger
language plpgsql
set search_path = ''
set timezone = 'UTC'
set extra_float_digits = 1
set bytea_output = 'hex'
set intervalstyle = 'postgres'
set lock_timeout = '200ms'
as $$
declare
  m public.cache_mapped_tables;
  e public.cache_entries;
  image json;
  found_row json;
  same_key text;
  written integer;
begin
  if tg_op = 'DELETE' then
    e := old;
  else
    e := new;
  end if;
  select * into m from public.cache_mapped_tables t where t.namespace = e.namespace;
  if not found or (tg_op = 'DELETE' and old.deleted) then
    return null;
  end if;
  if not e.deleted and e.codec <> 'json' and tg_op <> 'DELETE' then
    raise exception 'a value of "%" is not JSON, and can not be a row', m.namespace;
  end if;
  select string_agg(format('cache_row_.%1$I = cache_image_.%1$I', k), ' and ') into same_key
  from unnest(m.key) k;

  if e.deleted or tg_op = 'DELETE' then
    -- A key that can't be one of this table's has no row in it.
    if public.cache_mapped_parts(m.key, e.key) is not null then
      execute format(
        'delete from %1$s cache_row_ using json_populate_record(null::%1$s, $1) cache_image_
         where %2$s and public.cache_mapped_key($2, to_json(cache_row_)) = $3',
        m.relation, same_key
      ) using (
        select json_object_agg(k.name, (public.cache_mapped_parts(m.key, e.key))[k.place])
        from unnest(m.key) with ordinality as k (name, place)
      ), m.key, e.key;
    end if;
    return null;
  end if;

  image := public.cache_mapped_image(m, e.key, e.value);
  execute format(
    'select to_json(cache_row_) from %1$s cache_row_, json_populate_record(null::%1$s, $1) cache_image_
     where %2$s for no key update of cache_row_',
    m.relation, same_key
  ) into found_row using image;
  if found_row is null then
    execute (
      select format(
        'insert into %1$s (%2$s, %3$s) select %4$s, %5$s
         from json_populate_record(null::%1$s, $1) cache_image_
         on conflict (%2$s) do update set %6$s',
        m.relation, k.names, c.names, k.from_image, c.from_image, c.from_new
      )
      from
        (
          select string_agg(format('%I', n), ', ') as names,
            string_agg(format('cache_image_.%I', n), ', ') as from_image
          from unnest(m.key) n
        ) k,
        (
          select string_agg(format('%I', f.value), ', ') as names,
            string_agg(format('cache_image_.%I', f.value), ', ') as from_image,
            string_agg(format('%1$I = excluded.%1$I', f.value), ', ') as from_new
          from json_each_text(m.columns) f
        ) c
    ) using image;
    get diagnostics written = row_count;
  elsif public.cache_mapped_part(m.columns, found_row)
    is distinct from public.cache_mapped_part(m.columns, image)
  then
    execute format(
      'update %1$s cache_row_ set %2$s from json_populate_record(null::%1$s, $1) cache_image_ where %3$s',
      m.relation,
      (
        select string_agg(format('%1$I = cache_image_.%1$I', f.value), ', ')
        from json_each_text(m.columns) f
      ),
      same_key
    ) using image;
    get diagnostics written = row_count;
  end if;
  if written = 0 then
    raise exception 'a row of "%" was not written: a trigger of its table swallowed it', m.namespace;
  end if;
  return null;
exception when others then
  if left(sqlstate, 2) <> '42' then
    raise;
  end if;
  raise exception 'the table of "%" can not be written: % %', m.namespace, sqlstate, sqlerrm;
end
$$;

-- As before, but this runs when the whole statement is done: the key that a row had may by then be
-- that of another row, whose record it is now.
create or replace function public.cache_mapped_change()
returns trigger
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
set extra_float_digits = 1
set bytea_output = 'hex'
set intervalstyle = 'postgres'
as $$
declare
  m public.cache_mapped_tables;
  before_key text;
  after_key text;
  one text;
  row_of json;
begin
  select * into m from public.cache_mapped_tables t where t.namespace = tg_argv[0];
  if not found then
    return null;
  end if;
  if tg_op = 'TRUNCATE' then
    for one in
      select e.key from public.cache_entries e where e.namespace = m.namespace and not e.deleted
      order by e.key
    loop
      perform public.cache_take_back(m, one, null);
    end loop;
    return null;
  end if;
  if tg_op <> 'INSERT' then
    before_key := public.cache_mapped_key(m.key, to_json(old));
  end if;
  if tg_op <> 'DELETE' then
    after_key := public.cache_mapped_key(m.key, to_json(new));
  end if;
  if before_key is distinct from after_key and before_key is not null then
    execute format(
      'select to_json(cache_row_) from %s cache_row_
       where %s and public.cache_mapped_key($2, to_json(cache_row_)) = $3',
      m.relation,
      (select string_agg(format('cache_row_.%1$I = ($1).%1$I', k), ' and ') from unnest(m.key) k)
    ) into row_of using old, m.key, before_key;
    perform public.cache_take_back(m, before_key, row_of);
  end if;
  if after_key is not null then
    perform public.cache_take_back(m, after_key, to_json(new));
  end if;
  return null;
end
$$;

-- What service_role needs besides the table itself.
create or replace function public.cache_grant_around(relation regclass)
returns void
language plpgsql
set search_path = ''
as $$
declare
  around record;
begin
  for around in
    select c.relnamespace::regnamespace::text as name, 'schema' as kind
    from pg_catalog.pg_class c
    where c.oid = cache_grant_around.relation
      and not has_schema_privilege('service_role', c.relnamespace, 'usage')
    union all
    select s.oid::regclass::text, 'sequence'
    from pg_catalog.pg_depend d
    join pg_catalog.pg_class s on s.oid = d.objid and s.relkind = 'S'
    where d.classid = 'pg_catalog.pg_class'::regclass and d.refobjid = cache_grant_around.relation
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype = 'a'
      and not has_sequence_privilege('service_role', s.oid, 'usage')
  loop
    execute format('grant usage on %s %s to service_role', around.kind, around.name);
  end loop;
end
$$;

-- As before, but records become rows only where the table is mapped for the first time; where it is
-- mapped again, the table wins. service_role may use the table's schema and the sequences that its
-- columns take their defaults from.
create or replace function public.cache_map_table(
  namespace text, relation regclass, key text[], columns json,
  scope_kind text default null, scope_column text default null
)
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
set extra_float_digits = 1
set bytea_output = 'hex'
set intervalstyle = 'postgres'
as $$
declare
  in_namespace constant text := cache_map_table.namespace;
  faults constant text[] := public.cache_mapped_faults(
    cache_map_table.relation, cache_map_table.key, cache_map_table.columns,
    cache_map_table.scope_column
  );
  m public.cache_mapped_tables;
  row_of json;
  one text;
  is_mapped_again boolean;
begin
  if in_namespace !~ '^[a-z][a-z0-9_-]{0,62}$' then
    raise exception '"%" is no name of a namespace', in_namespace using errcode = '22023';
  end if;
  if cardinality(faults) > 0 then
    raise exception '% can not be mapped: %', cache_map_table.relation, array_to_string(faults, '; ')
      using errcode = '22023';
  end if;
  is_mapped_again := exists (
    select from public.cache_mapped_tables t
    where t.namespace = in_namespace and t.relation = cache_map_table.relation
  );
  perform public.cache_unmap_table(in_namespace);
  insert into public.cache_mapped_tables as t
  values (
    in_namespace, cache_map_table.relation, cache_map_table.key, cache_map_table.columns,
    cache_map_table.scope_kind, cache_map_table.scope_column
  )
  returning t.* into m;
  execute format('grant select, insert, update, delete on %s to service_role', m.relation);
  perform public.cache_grant_around(m.relation);
  execute format(
    'create trigger cache_mapped after insert or update or delete on %s
     for each row execute function public.cache_mapped_change(%L)', m.relation, in_namespace
  );
  execute format(
    'create trigger cache_mapped_truncate after truncate on %s
     for each statement execute function public.cache_mapped_change(%L)', m.relation, in_namespace
  );
  execute format(
    'create trigger %I after insert or update on public.cache_entries
     for each row when (new.namespace = %L) execute function public.cache_mirror()',
    public.cache_mirror_name(in_namespace, 'write'), in_namespace
  );
  execute format(
    'create trigger %I after delete on public.cache_entries
     for each row when (old.namespace = %L) execute function public.cache_mirror()',
    public.cache_mirror_name(in_namespace, 'gone'), in_namespace
  );
  -- Where nothing is known of a key, nobody can hold a copy of it, and no mark is needed.
  for row_of in execute format('select to_json(cache_row_) from %s cache_row_', m.relation) loop
    if public.cache_mapped_key(m.key, row_of) is not null then
      perform public.cache_take_back(
        m, public.cache_mapped_key(m.key, row_of), row_of,
        not exists (
          select from public.cache_entries e
          where e.namespace = in_namespace and e.key = public.cache_mapped_key(m.key, row_of)
        )
      );
    end if;
  end loop;
  if is_mapped_again then
    for one in
      execute format(
        'select e.key from public.cache_entries e where e.namespace = $1 and not e.deleted
         except
         select public.cache_mapped_key($2, to_json(cache_row_)) collate "C" from %s cache_row_
         order by 1', m.relation
      ) using in_namespace, m.key
    loop
      perform public.cache_take_back(m, one, null);
    end loop;
    return;
  end if;
  update public.cache_entries e set updated_at = e.updated_at
  where e.namespace = in_namespace and not e.deleted
    and not (e.expires_at > 0 and e.expires_at <= extract(epoch from clock_timestamp()) * 1000);
end
$$;

revoke execute on function public.cache_grant_around(regclass)
  from public, anon, authenticated, service_role;
