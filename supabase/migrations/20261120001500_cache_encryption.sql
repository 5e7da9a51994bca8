-- Encrypted payloads: the codec `encrypted` says that `body` holds what the cache packed, perhaps
-- compressed, and encrypted, the name of the true codec included. Nothing here can read it.
--
-- The functions that write already put what is not JSON into `body`, so only the checks change.

alter table public.cache_entries
  drop constraint cache_entries_payload_fits_codec,
  add constraint cache_entries_payload_fits_codec check (
    case
      when deleted then codec is null and value is null and body is null
      when codec = 'json' then value is not null and body is null
      when codec in ('bytes', 'structured', 'encrypted') then value is null and body is not null
      else false
    end
  );

alter table public.cache_log_items
  drop constraint cache_log_items_payload_fits_codec,
  add constraint cache_log_items_payload_fits_codec check (
    case
      when codec = 'json' then item is not null and body is null
      when codec in ('bytes', 'structured', 'encrypted') then item is null and body is not null
      else false
    end
  );

alter table public.cache_derived
  drop constraint cache_derived_payload_fits_codec,
  add constraint cache_derived_payload_fits_codec check (
    case
      when no_value then codec is null and value is null and body is null
      when codec = 'json' then value is not null and body is null
      when codec in ('bytes', 'structured', 'encrypted') then value is null and body is not null
      else false
    end
  );

update public.cache_settings s set revision = greatest(s.revision, 4);
