alter table public.notes add column author text not null default 'nobody';
