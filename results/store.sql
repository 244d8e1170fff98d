-- The tables of ukprobe.db, version 1. Times are microseconds since 1970 (UTC), spans
-- nanoseconds. docs/results.md tells how to ask them by hand: by the views of
-- views.sql.

CREATE TABLE run (
	number    INTEGER PRIMARY KEY,  -- in the order in which they came into the folder
	id        TEXT NOT NULL UNIQUE,
	started   INTEGER NOT NULL,
	finished  INTEGER,
	status    TEXT NOT NULL,        -- running of one that was killed, too
	version   TEXT NOT NULL,        -- of ukprobe
	matrix    TEXT NOT NULL,
	kernel    TEXT NOT NULL,
	cpu_model TEXT NOT NULL,
	pid       INTEGER NOT NULL,     -- of the process that writes it, or did
	-- How many, made when a run ends; NULL as long as they are to be counted.
	cells     INTEGER,
	ok        INTEGER,
	failed    INTEGER,
	unsupported INTEGER,
	other     INTEGER,              -- skipped, without image
	samples   INTEGER
);
CREATE INDEX run_started ON run (started, number);

-- run.json's "run" and "host", apart so that a list of runs does not read them.
CREATE TABLE run_text (
	run  INTEGER PRIMARY KEY REFERENCES run,
	head TEXT NOT NULL,
	host TEXT NOT NULL
);

CREATE TABLE cell (
	id         INTEGER PRIMARY KEY,
	run        INTEGER NOT NULL REFERENCES run,
	n          INTEGER NOT NULL,    -- its place in the run, from 0
	system     TEXT NOT NULL,
	app        TEXT NOT NULL,
	platform   TEXT NOT NULL,
	experiment TEXT NOT NULL,
	accel      TEXT NOT NULL,
	probes     TEXT NOT NULL,
	variant    TEXT NOT NULL,       -- what tells it from cells that are like it otherwise
	status     TEXT NOT NULL,
	reason     TEXT NOT NULL,
	head       TEXT NOT NULL,       -- all of it in run.json but samples, histograms, summary
	UNIQUE (run, n)
);

CREATE TABLE sample (
	id          INTEGER PRIMARY KEY,
	cell        INTEGER NOT NULL REFERENCES cell,
	n           INTEGER NOT NULL,   -- within the cell, from 0
	started     INTEGER NOT NULL,
	status      TEXT NOT NULL,
	vmm_ns      INTEGER,
	firmware_ns INTEGER,
	guest_ns    INTEGER,
	total_ns    INTEGER,
	data        BLOB NOT NULL,      -- all of it: JSON as in run.json, zstd, dictionary samples.zdict
	UNIQUE (cell, n)
);

CREATE TABLE histogram (
	cell INTEGER PRIMARY KEY REFERENCES cell,
	data BLOB NOT NULL              -- all of the cell's: JSON as in run.json, zstd
);

-- Made when a run ends: what lists and comparisons need without decoding a sample.
CREATE TABLE cell_values (
	cell INTEGER PRIMARY KEY REFERENCES cell,
	data BLOB NOT NULL              -- results/columns.go
);
CREATE TABLE metric (
	id   INTEGER PRIMARY KEY,
	name TEXT NOT NULL UNIQUE
);
CREATE TABLE summary (
	cell   INTEGER NOT NULL REFERENCES cell,
	metric INTEGER NOT NULL REFERENCES metric,
	n      INTEGER NOT NULL,
	median REAL NOT NULL,
	low    REAL,                    -- the 95 % interval of the median, if there is one
	high   REAL,
	min    REAL NOT NULL,
	max    REAL NOT NULL,
	beyond INTEGER NOT NULL,
	PRIMARY KEY (cell, metric)
) WITHOUT ROWID;
