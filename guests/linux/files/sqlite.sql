-- sqlite of ukprobe: a small private database, then the line that makes the app
-- ready. The database has no name (the empty argument of sqlite3): it is on disk
-- if it grows, and gone at the end, so that several at once do not meet.
begin;
create table t (id integer primary key, name text);
insert into t (name) values ('one'), ('two'), ('three'), ('four'), ('five');
commit;
select 'ukprobe-sqlite: ready' where (select count(*) from t) = 5;
