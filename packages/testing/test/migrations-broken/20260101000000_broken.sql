create table public.half (id integer);
create table public.half (id integer);
