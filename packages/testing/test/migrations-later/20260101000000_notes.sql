create table public.notes (id integer primary key, body text not null);
alter table public.notes enable row level security;

create function public.note_length(note integer) returns integer
language plpgsql as $$
begin
  return (select length(body) from public.notes where id = note);
end
$$;
