-- Books, what is spoken of them, and where each listener is. Tables that other programs may read
-- and, all but `audios`, write: the cache is told by the service for books, and by the mapping for
-- progress.

create table public.books (
  id bigint primary key check (id > 0),
  document_id text not null unique check (document_id <> ''),
  titulo text not null,
  autor text not null
);

create table public.segments (
  book_id bigint not null references public.books on delete cascade,
  num integer not null check (num >= 1),
  texto text not null check (texto <> ''),
  -- Another text is another audio: it is part of the audio's key.
  revision text not null generated always as (left(md5(texto), 12)) stored,
  primary key (book_id, num)
);

-- One row for everything that was ever spoken; what is of the text as it is now is in a list.
create table public.audios (
  id bigint generated always as identity primary key,
  book_id bigint not null references public.books on delete cascade,
  voice_id text not null,
  num integer not null,
  revision text not null,
  audio_key text not null,
  duration_ms integer not null,
  unique (book_id, voice_id, num, revision)
);

create table public.progress (
  user_id text not null,
  document_id text not null,
  voice_id text not null,
  segment_id integer not null check (segment_id >= 1),
  intra_ms integer not null check (intra_ms >= 0),
  -- Epoch milliseconds: when it was heard, which may be long before it was sent.
  heard_at bigint not null default (extract(epoch from now()) * 1000)::bigint,
  primary key (user_id, document_id)
);

alter table public.books enable row level security;
alter table public.segments enable row level security;
alter table public.audios enable row level security;
alter table public.progress enable row level security;

select public.cache_map_table(
  namespace => 'progress',
  relation => 'public.progress',
  key => array['user_id', 'document_id'],
  columns => '{"voice_id":"voice_id","segment_id":"segment_id","intra_ms":"intra_ms","heard_at":"heard_at"}',
  scope_kind => 'user',
  scope_column => 'user_id'
);

-- By its number, or by the id of its document.
create function public.audiobooks_book(name text) returns json
language sql stable set search_path = '' as $$
  select json_build_object(
    'id', b.id, 'documentId', b.document_id, 'titulo', b.titulo, 'autor', b.autor,
    'revisiones', coalesce(
      (select json_agg(s.revision order by s.num) from public.segments s where s.book_id = b.id),
      '[]'))
  from public.books b
  where b.document_id = name or b.id::text = name
  order by (b.id::text = name) desc
  limit 1
$$;

-- The whole book, in one transaction. Texts that are left out stay as they are.
create function public.audiobooks_put_book(
  book bigint, document text, titulo text, autor text, textos jsonb
) returns void
language plpgsql set search_path = '' as $$
begin
  insert into public.books as b (id, document_id, titulo, autor)
  values (book, document, audiobooks_put_book.titulo, audiobooks_put_book.autor)
  on conflict (id) do update
    set document_id = excluded.document_id, titulo = excluded.titulo, autor = excluded.autor;
  if textos is null then return; end if;
  delete from public.segments s where s.book_id = book and s.num > jsonb_array_length(textos);
  insert into public.segments as s (book_id, num, texto)
  select book, t.num, t.texto from jsonb_array_elements_text(textos) with ordinality t (texto, num)
  on conflict (book_id, num) do update set texto = excluded.texto where s.texto <> excluded.texto;
end
$$;

-- The text, where it is still the one of this revision.
create function public.audiobooks_text(book bigint, segment integer, of_revision text) returns text
language sql stable set search_path = '' as $$
  select s.texto from public.segments s
  where s.book_id = book and s.num = segment and s.revision = of_revision
$$;

create function public.audiobooks_add_audio(
  book bigint, voice text, segment integer, of_revision text, key text, duration integer
) returns json
language sql set search_path = '' as $$
  insert into public.audios as a (book_id, voice_id, num, revision, audio_key, duration_ms)
  values (book, voice, segment, of_revision, key, duration)
  on conflict (book_id, voice_id, num, revision) do update
    set audio_key = excluded.audio_key, duration_ms = excluded.duration_ms
  returning json_build_object('audioId', a.id, 'isNew', a.xmax = 0)
$$;

create function public.audiobooks_audio(audio bigint) returns json
language sql stable set search_path = '' as $$
  select json_build_object(
    'audioId', a.id, 'bookId', a.book_id, 'documentId', b.document_id, 'voiceId', a.voice_id,
    'segmentNum', a.num, 'revision', a.revision, 'audioKey', a.audio_key,
    'durationMs', a.duration_ms)
  from public.audios a join public.books b on b.id = a.book_id
  where a.id = audio
$$;

-- What there is of the texts as they are now.
create function public.audiobooks_audios(book bigint, voice text) returns json
language sql stable set search_path = '' as $$
  select coalesce(
    json_agg(
      json_build_object('segmentNum', a.num, 'audioId', a.id, 'durationMs', a.duration_ms)
      order by a.num),
    '[]')
  from public.audios a
  join public.segments s on s.book_id = a.book_id and s.num = a.num and s.revision = a.revision
  where a.book_id = book and a.voice_id = voice
$$;

do $$
declare one regprocedure;
begin
  for one in select p.oid from pg_proc p where p.proname like 'audiobooks\_%' loop
    execute format('revoke all on function %s from public, anon, authenticated', one);
    execute format('grant execute on function %s to service_role', one);
  end loop;
end
$$;
revoke all on public.books, public.segments, public.audios, public.progress from anon, authenticated;
