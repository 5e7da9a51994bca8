-- Mapped tables at work: what a row of the table says as a value and a value as a row, the two
-- triggers that keep them the same, and the call by which a team's migration maps its table.
--
-- Both triggers compare before they write, so that each of them ends the other: what is the same
-- as it would be written is left alone, without a version and without a mark. A table whose own
-- triggers change what is written is therefore right, too: what it made of a value is taken back.
--
-- Who waits for whom is written in cache_mapped_locks.

-- A value as the table would hold it, key included; raises where it can't hold it. Columns that
-- are not mapped are null.
create function public.cache_mapped_image(m public.cache_mapped_tables, key text, value json)
returns json
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
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
  execute format('select to_json(r) from json_populate_record(null::%s, $1) r', m.relation)
  into image using named;
  -- Otherwise two keys, such as 7 and 07, would be one row.
  if public.cache_mapped_key(m.key, image) is distinct from cache_mapped_image.key then
    raise exception 'a key of "%" is not written as its columns write it', m.namespace;
  end if;
  return image;
end
$$;

-- What a row says as a value. A number beyond 2^53 is given as text: read as a number it would
-- silently be another one.
create function public.cache_mapped_value(columns json, row_of json)
returns json
language sql
immutable
set search_path = ''
as $$
  select json_object_agg(
    f.field,
    case when json_typeof($2 -> f.name) = 'number' and ($2 ->> f.name) ~ '^-?\d{16,}$'
        and abs(($2 ->> f.name)::numeric) > 9007199254740991
      then to_json($2 ->> f.name) else $2 -> f.name end
    order by f.place
  )
  from json_each_text($1) with ordinality as f (field, name, place)
$$;

-- The columns that are mapped, for comparing: 1.0 is 1, and the order of keys is nothing.
create function public.cache_mapped_part(columns json, row_of json)
returns jsonb
language sql
immutable
set search_path = ''
as $$
  select jsonb_object_agg(f.value, ($2 -> f.value)::jsonb) from json_each_text($1) f
$$;

-- What the cache wrote, in the team's table, as service_role. A fault of the table (a column or a
-- privilege that is gone) is the row's own: the write becomes a dead letter, and those of other
-- tables in the same call don't suffer from it.
create function public.cache_mirror()
returns trigger
language plpgsql
set search_path = ''
set timezone = 'UTC'
set lock_timeout = '200ms'
as $$
declare
  m public.cache_mapped_tables;
  e public.cache_entries;
  image json;
  found_row json;
  same_key text;
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
  select string_agg(format('t.%1$I = r.%1$I', k), ' and ') into same_key from unnest(m.key) k;

  if e.deleted or tg_op = 'DELETE' then
    -- A key that can't be one of this table's has no row in it.
    if public.cache_mapped_parts(m.key, e.key) is not null then
      execute format(
        'delete from %1$s t using json_populate_record(null::%1$s, $1) r where %2$s',
        m.relation, same_key
      ) using (
        select json_object_agg(k.name, (public.cache_mapped_parts(m.key, e.key))[k.place])
        from unnest(m.key) with ordinality as k (name, place)
      );
    end if;
    return null;
  end if;

  image := public.cache_mapped_image(m, e.key, e.value);
  execute format(
    'select to_json(t) from %1$s t, json_populate_record(null::%1$s, $1) r where %2$s for no key update of t',
    m.relation, same_key
  ) into found_row using image;
  if found_row is null then
    execute (
      select format(
        'insert into %1$s as t (%2$s, %3$s) select %4$s, %5$s from json_populate_record(null::%1$s, $1) r
         on conflict (%2$s) do update set %6$s',
        m.relation, k.names, c.names, k.from_image, c.from_image, c.from_new
      )
      from
        (
          select string_agg(format('%I', n), ', ') as names,
            string_agg(format('r.%I', n), ', ') as from_image
          from unnest(m.key) n
        ) k,
        (
          select string_agg(format('%I', f.value), ', ') as names,
            string_agg(format('r.%I', f.value), ', ') as from_image,
            string_agg(format('%1$I = excluded.%1$I', f.value), ', ') as from_new
          from json_each_text(m.columns) f
        ) c
    ) using image;
  elsif public.cache_mapped_part(m.columns, found_row)
    is distinct from public.cache_mapped_part(m.columns, image)
  then
    execute format(
      'update %1$s t set %2$s from json_populate_record(null::%1$s, $1) r where %3$s',
      m.relation,
      (select string_agg(format('%1$I = r.%1$I', f.value), ', ') from json_each_text(m.columns) f),
      same_key
    ) using image;
  end if;
  return null;
exception when others then
  if left(sqlstate, 2) <> '42' then
    raise;
  end if;
  raise exception 'the table of "%" can not be written: % %', m.namespace, sqlstate, sqlerrm;
end
$$;

-- What a row of the table says now (null: it is gone), in cache_entries: above whatever is there,
-- at the time of this server's clock, with a mark, so that Redis and every instance are told.
create function public.cache_take_back(
  m public.cache_mapped_tables, key text, row_of json, is_known boolean default false
)
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
  in_key constant text := cache_take_back.key;
  id constant text :=
    (public.cache_mapped_parts(m.key, in_key))[array_position(m.key, m.scope_column)];
  kept public.cache_entries;
  is_there boolean;
  is_over boolean;
  stamp bigint;
  by_whom constant bigint := 1 + floor(random() * 9007199254740990)::bigint;
begin
  if m.scope_kind is not null then
    perform pg_catalog.pg_advisory_xact_lock_shared(
      1080246627, public.cache_scope_lock(m.scope_kind, id)
    );
  end if;
  loop
    select * into kept from public.cache_entries e
    where e.namespace = m.namespace and e.key = in_key for update;
    is_there := found;
    if row_of is null and (not is_there or kept.deleted) then
      return;
    end if;
    if row_of is not null and is_there and not kept.deleted
      and public.cache_is_same(m, kept, row_of)
    then
      return;
    end if;
    stamp := greatest(
      ((extract(epoch from clock_timestamp()) * 1000)::bigint - 1577836800000) * 4096,
      kept.version + 1, public.cache_fence(m.scope_kind, id) + 1,
      (select s.pruned_version + 1 from public.cache_settings s)
    );
    if is_there then
      is_over := kept.deleted
        or (kept.expires_at > 0 and kept.expires_at <= extract(epoch from clock_timestamp()) * 1000);
      update public.cache_entries e
      set version = stamp, intent = by_whom, deleted = row_of is null,
          codec = case when row_of is not null then 'json' end,
          value = case when row_of is not null then public.cache_mapped_value(m.columns, row_of) end,
          body = null,
          expires_at = case when is_over or row_of is null then 0 else kept.expires_at end,
          scope_kind = m.scope_kind, scope_id = id,
          tags = case when is_over or row_of is null then '{}' else kept.tags end,
          updated_at = now()
      where e.namespace = m.namespace and e.key = in_key;
      exit;
    end if;
    insert into public.cache_entries (
      namespace, key, version, intent, codec, value, scope_kind, scope_id
    )
    values (
      m.namespace, in_key, stamp, by_whom, 'json',
      public.cache_mapped_value(m.columns, row_of), m.scope_kind, id
    )
    on conflict on constraint cache_entries_pkey do nothing;
    exit when found;
  end loop;
  if not is_known then
    perform public.cache_leave_mark(m.namespace, in_key, 'value', stamp, by_whom);
  end if;
end
$$;

-- Whether a row of cache_entries says what a row of the table says.
create function public.cache_is_same(
  m public.cache_mapped_tables, kept public.cache_entries, row_of json
)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return public.cache_mapped_part(m.columns, row_of)
    = public.cache_mapped_part(m.columns, public.cache_mapped_image(m, kept.key, kept.value));
exception when others then
  -- What the table can't hold any more is not what it holds.
  return false;
end
$$;

-- What somebody wrote into a mapped table: a trigger of it, with the namespace as its argument.
-- `security definer`, because who may write the table need not be able to see the cache's.
create function public.cache_mapped_change()
returns trigger
language plpgsql
security definer
set search_path = ''
set timezone = 'UTC'
as $$
declare
  m public.cache_mapped_tables;
  before_key text;
  after_key text;
  one text;
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
    perform public.cache_take_back(m, before_key, null);
  end if;
  if after_key is not null then
    perform public.cache_take_back(m, after_key, to_json(new));
  end if;
  return null;
end
$$;

-- To be called in a migration of the team's own, behind the one that makes the table, and again
-- whenever the mapping changes. What is in the table becomes records; records that are in
-- cache_entries alone become rows. It locks the table against writers until the migration is
-- through. Raises where the table can't hold the records.
create function public.cache_map_table(
  namespace text, relation regclass, key text[], columns json,
  scope_kind text default null, scope_column text default null
)
returns void
language plpgsql
set search_path = ''
set timezone = 'UTC'
as $$
declare
  in_namespace constant text := cache_map_table.namespace;
  faults constant text[] := public.cache_mapped_faults(
    cache_map_table.relation, cache_map_table.key, cache_map_table.columns,
    cache_map_table.scope_column
  );
  m public.cache_mapped_tables;
  row_of json;
begin
  if in_namespace !~ '^[a-z][a-z0-9_-]{0,62}$' then
    raise exception '"%" is no name of a namespace', in_namespace using errcode = '22023';
  end if;
  if cardinality(faults) > 0 then
    raise exception '% can not be mapped: %', cache_map_table.relation, array_to_string(faults, '; ')
      using errcode = '22023';
  end if;
  perform public.cache_unmap_table(in_namespace);
  insert into public.cache_mapped_tables as t
  values (
    in_namespace, cache_map_table.relation, cache_map_table.key, cache_map_table.columns,
    cache_map_table.scope_kind, cache_map_table.scope_column
  )
  returning t.* into m;
  execute format('grant select, insert, update, delete on %s to service_role', m.relation);
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
  for row_of in execute format('select to_json(t) from %s t', m.relation) loop
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
  update public.cache_entries e set updated_at = e.updated_at
  where e.namespace = in_namespace and not e.deleted
    and not (e.expires_at > 0 and e.expires_at <= extract(epoch from clock_timestamp()) * 1000);
end
$$;

-- The table stays as it is, and so do the records: from now on each goes its own way.
create function public.cache_unmap_table(namespace text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  m public.cache_mapped_tables;
begin
  delete from public.cache_mapped_tables t where t.namespace = cache_unmap_table.namespace
  returning t.* into m;
  if not found then
    return;
  end if;
  execute format('drop trigger if exists %I on public.cache_entries', public.cache_mirror_name(m.namespace, 'write'));
  execute format('drop trigger if exists %I on public.cache_entries', public.cache_mirror_name(m.namespace, 'gone'));
  if exists (select from pg_catalog.pg_class c where c.oid = m.relation) then
    execute format('drop trigger if exists cache_mapped on %s', m.relation);
    execute format('drop trigger if exists cache_mapped_truncate on %s', m.relation);
  end if;
end
$$;

-- Mapping is for migrations, and the triggers' functions are for triggers: not even service_role
-- may call them.
revoke execute on function public.cache_map_table(text, regclass, text[], json, text, text),
  public.cache_unmap_table(text), public.cache_mapped_change(),
  public.cache_take_back(public.cache_mapped_tables, text, json, boolean),
  public.cache_is_same(public.cache_mapped_tables, public.cache_entries, json)
  from public, anon, authenticated, service_role;

revoke execute on function public.cache_mapped_key(text[], json),
  public.cache_mapped_parts(text[], text),
  public.cache_mapped_faults(regclass, text[], json, text),
  public.cache_mirror_name(text, text),
  public.cache_check_mapping(text, text, text[], text, text, text),
  public.cache_mapped_image(public.cache_mapped_tables, text, json),
  public.cache_mapped_value(json, json), public.cache_mapped_part(json, json),
  public.cache_mirror()
  from public, anon, authenticated;

grant execute on function public.cache_mapped_key(text[], json),
  public.cache_mapped_parts(text[], text),
  public.cache_mapped_faults(regclass, text[], json, text),
  public.cache_mirror_name(text, text),
  public.cache_check_mapping(text, text, text[], text, text, text),
  public.cache_mapped_image(public.cache_mapped_tables, text, json),
  public.cache_mapped_value(json, json), public.cache_mapped_part(json, json),
  public.cache_mirror()
  to service_role;
